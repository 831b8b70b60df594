//! The HTTP side as it is on the wire.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// A server's HTTP side, for what [`streamz_client::Api`] hides: statuses, headers, bodies that are wrong.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers; see [`Answer::header`].
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub text: String,
}

impl Http {
    /// Of the server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap();
        Self { client, base: url.to_owned() }
    }

    /// A request, to be completed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// GET without a token. A connection that fails is status 0: the server is not there (yet).
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// GET with a token.
    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    /// POST of JSON, without a token.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// JSON with a token.
    pub async fn send_as(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.send(self.request(method, path).bearer_auth(token).json(body)).await
    }

    /// Sends what was completed.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let Ok(response) = request.send().await else {
            return Answer { status: 0, headers: Default::default(), text: String::new() };
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap_or_default() }
    }
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value, empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `code` of a problem, after a look at the form that every problem has (RFC 9457).
    #[must_use]
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status, "{self:?}");
        for member in ["type", "title", "detail", "request_id"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {self:?}");
        }
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("urn:streamz:problem:{code}"));
        (self.status, code)
    }
}
