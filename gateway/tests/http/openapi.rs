//! The API's own description is whole, true and valid.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::fixture::{Api, request};

/// What the contract has, the public keys, and the WebSocket.
const ROUTES: &[(&str, &str)] = &[
    ("post", "/api/auth/register"),
    ("post", "/api/auth/login"),
    ("post", "/api/auth/refresh"),
    ("post", "/api/auth/logout"),
    ("get", "/api/auth/me"),
    ("delete", "/api/auth/me"),
    ("put", "/api/auth/password"),
    ("get", "/api/auth/sessions"),
    ("delete", "/api/auth/sessions/{id}"),
    ("get", "/api/devices"),
    ("post", "/api/devices"),
    ("put", "/api/devices/{device_id}"),
    ("delete", "/api/devices/{device_id}"),
    ("get", "/api/streams"),
    ("get", "/api/streams/{id}"),
    ("get", "/api/ice-servers"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/ping"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
    ("get", "/status"),
    ("get", "/api/openapi.json"),
    ("get", "/docs"),
    ("get", "/ws"),
];

async fn document(api: &Api) -> Value {
    let answer = api.get("/api/openapi.json", "").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.ok(200)
}

/// Method, path and description of every operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    });
    operations.collect()
}

#[tokio::test]
async fn what_is_described_is_what_is_served() {
    let api = Api::new().await;
    let document = document(&api).await;
    let described: BTreeSet<_> =
        operations(&document).iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(described, ROUTES.iter().copied().collect());
    for (method, path) in ROUTES {
        let path = path.replace("{device_id}", "tv").replace("{id}", "00000000-0000-0000-0000-000000000001");
        // As a program on the same machine: for others the status is not there.
        let here: std::net::SocketAddr = ([127, 0, 0, 1], 4711).into();
        let of = |method: Method| {
            let request = request(method, &path, "").extension(ConnectInfo(here)).header("host", "localhost");
            request.body(Body::empty()).unwrap()
        };
        let method: Method = method.to_uppercase().parse().unwrap();
        let answer = api.send(of(method)).await;
        let served = ![StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&answer.status);
        assert!(served, "{path}: {answer:?}");
        // And no method is served that is not described.
        let allow = api.send(of(Method::TRACE)).await;
        allow.problem(405, "method_not_allowed");
        for method in allow.header("allow").unwrap().split(',').filter(|method| *method != "HEAD") {
            let method = method.to_lowercase();
            let known =
                ROUTES.iter().any(|(m, p)| *m == method && p.split('{').next() == path_stem(&path, p));
            assert!(known, "{method} {path} is served but not described");
        }
    }
}

/// The part of a concrete path that a template has before its parameter.
fn path_stem<'a>(path: &'a str, template: &str) -> Option<&'a str> {
    let stem = template.split('{').next()?;
    if template.contains('{') { path.get(..stem.len()) } else { Some(path) }
}

#[tokio::test]
async fn the_document_is_valid() {
    let api = Api::new().await;
    let document = document(&api).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{at}: its operationId is not unique"
        );
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}: no summary");
        let responses = operation["responses"].as_object().unwrap();
        assert!(!responses.is_empty(), "{at}: no responses");
        for (status, response) in responses {
            assert!(status == "default" || status.parse::<u16>().is_ok(), "{at}: {status}");
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{at}: {status} has no description"
            );
            let error = status == "default" || status.starts_with(['4', '5']);
            let problem = response["content"]["application/problem+json"]["schema"]["$ref"].as_str();
            assert_eq!(problem, error.then_some("#/components/schemas/Problem"), "{at}: {status}");
        }
        let empty = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&empty);
        let in_path: BTreeSet<_> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_template: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
        assert_eq!(in_path, in_template, "{at}");
        for requirement in operation["security"].as_array().into_iter().flatten() {
            for scheme in requirement.as_object().unwrap().keys() {
                assert!(document["components"]["securitySchemes"][scheme].is_object(), "{at}: {scheme}");
            }
        }
        // A token is demanded exactly where its absence is described.
        assert_eq!(operation["security"].is_array(), needs_token(path), "{at}");
    }
    check_references(&document, &document);
}

fn needs_token(path: &str) -> bool {
    path == "/ws"
        || [
            "/api/auth/me",
            "/api/auth/logout",
            "/api/auth/password",
            "/api/auth/sessions",
            "/api/devices",
            "/api/streams",
            "/api/ice",
        ]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// Every `$ref` leads somewhere.
fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref") {
                let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            members.values().for_each(|member| check_references(document, member));
        }
        Value::Array(values) => values.iter().for_each(|value| check_references(document, value)),
        _ => {}
    }
}

#[tokio::test]
async fn schemas_say_what_is_required() {
    let api = Api::new().await;
    let document = document(&api).await;
    let schema = |name: &str| document["components"]["schemas"][name].clone();
    for (name, required) in [
        ("RegisterRequest", vec!["email", "password"]),
        ("LoginRequest", vec!["email", "password"]),
        ("RefreshRequest", vec!["refresh_token"]),
        ("PasswordRequest", vec!["current_password", "new_password"]),
        ("DeleteAccountRequest", vec!["password"]),
        ("CreateDeviceRequest", vec!["device_id", "device_name"]),
        ("UpdateDeviceRequest", vec![]),
        ("Problem", vec!["type", "title", "status", "code", "detail", "request_id"]),
        ("TokenResponse", vec!["user", "access_token", "refresh_token", "token_type", "expires_in"]),
    ] {
        let schema = schema(name);
        let found: BTreeSet<_> =
            schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(found, required.into_iter().collect(), "{name}: {schema}");
    }
    let codes = schema("Code");
    assert_eq!(codes["enum"].as_array().unwrap().len(), streamz_gateway::problem::Code::ALL.len());
    assert_eq!(schema("RegisterRequest")["properties"]["email"]["type"], "string");
    assert!(!document.to_string().contains("password_hash"));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let api = Api::new().await;
    let moved = api.get("/docs", "").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (303, Some("/docs/")));
    let page = api.get("/docs/", "").await;
    assert_eq!(page.status, 200);
    let files: Vec<_> = page.text.split(['"', '\'']).filter_map(|text| text.strip_prefix("./")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert_eq!(api.get(&format!("/docs/{file}"), "").await.status, 200, "{file}");
    }
    assert!(!page.text.contains("//"), "{}", page.text);
    let script = api.get("/docs/swagger-initializer.js", "").await.text;
    assert!(script.contains("/api/openapi.json"), "{script}");
    assert!(script.contains("\"validatorUrl\": \"none\""), "{script}");
}
