// Makes and opens age files with the TypeScript implementation of age: the second opinion in Vault's tests.
//
//   node age.mjs decrypt --identity-file FILE   < sealed > plain      FILE: lines AGE-SECRET-KEY-…, # begins a comment
//   node age.mjs decrypt --passphrase-file FILE < sealed > plain      FILE: the passphrase; one newline at its end is ignored
//   node age.mjs encrypt --recipient age1…      < plain > sealed
//   node age.mjs encrypt --passphrase-file FILE [--work-factor N] < plain > sealed
//   node age.mjs keygen [--classical]           > identity file
//
// Files are binary, not armored. Exit code 0: done; 1: the file does not open, or a key is not valid; 2: wrong usage.

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";

const STDIN = 0;
const STDOUT = 1;

class UsageError extends Error {}

const options = {
  "identity-file": { type: "string" },
  "passphrase-file": { type: "string" },
  recipient: { type: "string" },
  "work-factor": { type: "string" },
  classical: { type: "boolean" },
};

function passphraseIn(path) {
  return readFileSync(path, "utf8").replace(/\r?\n$/, "");
}

function identitiesIn(path) {
  const lines = readFileSync(path, "utf8").split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

async function decrypt(values) {
  const decrypter = new Decrypter();
  if (values["identity-file"] !== undefined) {
    for (const identity of identitiesIn(values["identity-file"])) decrypter.addIdentity(identity);
  } else if (values["passphrase-file"] !== undefined) {
    decrypter.addPassphrase(passphraseIn(values["passphrase-file"]));
  } else {
    throw new UsageError("decrypt needs --identity-file or --passphrase-file");
  }
  return decrypter.decrypt(readFileSync(STDIN));
}

async function encrypt(values) {
  const encrypter = new Encrypter();
  if (values.recipient !== undefined) {
    encrypter.addRecipient(values.recipient);
  } else if (values["passphrase-file"] !== undefined) {
    if (values["work-factor"] !== undefined) encrypter.setScryptWorkFactor(Number(values["work-factor"]));
    encrypter.setPassphrase(passphraseIn(values["passphrase-file"]));
  } else {
    throw new UsageError("encrypt needs --recipient or --passphrase-file");
  }
  return encrypter.encrypt(readFileSync(STDIN));
}

async function keygen(values) {
  const identity = values.classical ? await generateX25519Identity() : await generateHybridIdentity();
  return `# public key: ${await identityToRecipient(identity)}\n${identity}\n`;
}

const commands = { decrypt, encrypt, keygen };

try {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const command = positionals.length === 1 && Object.hasOwn(commands, positionals[0]) && commands[positionals[0]];
  if (!command) throw new UsageError("one of decrypt, encrypt, keygen is expected");
  writeFileSync(STDOUT, await command(values));
} catch (error) {
  const usage = error instanceof UsageError || String(error.code).startsWith("ERR_PARSE_ARGS");
  process.stderr.write(`age.mjs: ${error.message}\n`);
  process.exitCode = usage ? 2 : 1;
}
