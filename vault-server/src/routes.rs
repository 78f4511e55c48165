//! The whole API on one page: every path, its methods, and what handles each.
//!
//! A path that stands here and has no such method answers 405, every other path 404. The list of routes and what is registered
//! come from the same lines.

use actix_web::http::{Method, header};
use actix_web::{HttpResponse, web};
use futures_util::future::{Ready, ready};
use vault_core::wire::v1::paths;

use crate::api::v1;

/// Declares the routes and the list of them.
macro_rules! api {
    ($($path:expr => { $($method:ident: $handler:path),+ $(,)? })+) => {
        /// Every route: its method and the pattern of its path.
        pub const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),+];

        /// Registers the routes.
        pub fn routes(config: &mut web::ServiceConfig) {
            $(config.service(
                web::resource($path)
                    $(.route(web::method(Method::$method).to($handler)))+
                    .default_service(web::to(|| refuse(concat!($(stringify!($method), " "),+)))),
            );)+
        }
    };
}

api! {
    paths::HEALTHZ => { GET: v1::health::live }
    paths::READYZ => { GET: v1::health::ready }
    paths::SERVER => { GET: v1::server::get }
    paths::JOIN => { POST: v1::join::post }
    paths::ME => { GET: v1::me::get }
    paths::DIRECTORY => { GET: v1::directory::get }
    paths::CARD => { GET: v1::cards::list }
    paths::CARD_ENTRY => { PUT: v1::cards::put }
    paths::DEVICE_REQUESTS => { POST: v1::device_requests::post }
    paths::DEVICE_REQUEST => { GET: v1::device_requests::get }
    paths::DEVICE_ANSWER => { PUT: v1::device_requests::put_answer, GET: v1::device_requests::get_answer }
    paths::DEVICE_CONSENT => { PUT: v1::device_requests::put_consent, GET: v1::device_requests::get_consent }
    paths::VAULT => { PUT: v1::vaults::put, GET: v1::vaults::get }
    paths::LOG => { GET: v1::log::list }
    paths::STATEMENT => { GET: v1::log::get, PUT: v1::log::put }
    paths::HEAD => { GET: v1::log::head }
    paths::OBJECTS => { GET: v1::objects::list }
    paths::OBJECT_QUERY => { POST: v1::objects::query_some }
    paths::OBJECT => { PUT: v1::objects::put, GET: v1::objects::get, HEAD: v1::objects::head }
    paths::UNDELETE => { POST: v1::trash::undelete }
    paths::TRASH => { GET: v1::trash::list }
    paths::AUDIT => { GET: v1::audit::list }
    paths::VAULT_GRANTS => { GET: v1::grants::given }
    paths::INBOX => { GET: v1::grants::inbox }
    paths::GRANT => { GET: v1::grants::get }
    paths::GRANT_OPEN => { POST: v1::grants::open }
    paths::GRANT_OBJECT => { GET: v1::grants::get_object, HEAD: v1::grants::head_object }
    paths::LINK => { GET: v1::links::get }
    paths::LINK_OPEN => { POST: v1::links::open }
    paths::LINK_OBJECT => { GET: v1::links::get_object, HEAD: v1::links::head_object }
    paths::LINK_PAGE => { GET: v1::links::page }
}

/// The answer to a method that a path does not have.
fn refuse(methods: &str) -> Ready<HttpResponse> {
    let allowed = methods.trim_end().replace(' ', ", ");
    ready(HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, allowed)).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_protocol_has_a_route() {
        for path in paths::ALL {
            assert!(ROUTES.iter().any(|(_, pattern)| pattern == path), "{path}");
        }
        assert!(ROUTES.iter().all(|(_, pattern)| paths::ALL.contains(pattern)));
    }
}
