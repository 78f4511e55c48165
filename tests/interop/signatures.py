"""Signs and verifies requests with http-message-signatures (PyPI), for tests/signing.rs.

One JSON object on standard input, one on standard output:

  {"do": "verify", method, url, headers, key}                                   -> {"keyid", "nonce", "components"}
  {"do": "sign", method, url, headers, seed, keyid, created, nonce, components} -> {"signature-input", "signature"}

The profile fixes the order of the parameters; the library has another one, so `sign` puts them in order before it signs.
"""

import collections
import datetime
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver, algorithms

ORDER = ["created", "nonce", "alg", "keyid", "tag"]


class Message:
    def __init__(self, asked):
        self.method, self.url, self.headers = asked["method"], asked["url"], dict(asked["headers"])


class Signer(HTTPMessageSigner):
    def _build_signature_base(self, message, *, signature_params, **others):
        ordered = collections.OrderedDict((name, signature_params[name]) for name in ORDER)
        return super()._build_signature_base(message, signature_params=ordered, **others)


class AnyKeyId(MappingKeyResolver):
    def resolve_public_key(self, key_id):
        return self.public_keys[""]


def verify(asked):
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(asked["key"]))
    keys = AnyKeyId(public_keys={"": key}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=keys)
    [result] = verifier.verify(Message(asked), max_age=None, expect_tag="vault-v1")
    components = [name for name in result.covered_components if "signature-params" not in name]
    return {
        "keyid": result.parameters["keyid"],
        "nonce": result.parameters["nonce"],
        "components": [name.strip('"') for name in components],
    }


def sign(asked):
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(asked["seed"]))
    keys = MappingKeyResolver(public_keys={}, private_keys={asked["keyid"]: key})
    message = Message(asked)
    Signer(signature_algorithm=algorithms.ED25519, key_resolver=keys).sign(
        message,
        key_id=asked["keyid"],
        created=datetime.datetime.fromtimestamp(asked["created"], datetime.timezone.utc),
        nonce=asked["nonce"],
        label="vault",
        tag="vault-v1",
        covered_component_ids=asked["components"],
        use_existing_digest="content-digest" in asked["components"],
    )
    return {name.lower(): value for name, value in message.headers.items() if name.lower().startswith("signature")}


asked = json.load(sys.stdin)
json.dump(verify(asked) if asked["do"] == "verify" else sign(asked), sys.stdout)
