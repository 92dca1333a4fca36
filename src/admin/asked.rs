//! What a change is asked for with: query and body.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request, rejection::QueryRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use super::access::Who;
use super::problem::Problem;
use super::recorded::content_type;
use super::state::Shared;
use crate::control::{Kind, Word};
use crate::model::{AdminState, Weight};

/// How long is waited for a backend to run empty, unless told otherwise, in seconds.
const DRAIN: u64 = 30;
/// Longest time that is waited, and that a word holds, in seconds: an hour, and a year.
const LONGEST: (u64, u64) = (3600, 366 * 86_400);
/// Longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// What can be said in the query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// `drained`: the answer comes when no request is in flight any more.
    wait: Option<String>,
    /// For how many seconds it is waited for that.
    timeout_seconds: Option<u64>,
    /// `1`: only what would be done is told.
    dry_run: Option<String>,
}

impl How {
    /// Holds a query against what can be said.
    fn read(read: Result<Query<Self>, QueryRejection>) -> Result<Self, Problem> {
        let bad = |told: String| Problem::bad_request("bad_query", told);
        let Query(how) = read.map_err(|error| bad(error.body_text()))?;
        let known = |given: &Option<String>, words: &[&str]| {
            given.as_deref().is_none_or(|given| words.contains(&given))
        };
        if !known(&how.wait, &["drained"]) {
            return Err(bad("wait can be drained".to_owned()));
        }
        if !known(&how.dry_run, &["0", "1", "false", "true"]) {
            return Err(bad("dry_run is 0 or 1".to_owned()));
        }
        if how.timeout_seconds.is_some_and(|seconds| seconds > LONGEST.0) {
            return Err(bad(format!("timeout_seconds is {} at most", LONGEST.0)));
        }
        Ok(how)
    }

    /// Whether the answer shall come when a backend has run empty.
    pub(super) fn waits(&self) -> bool {
        self.wait.is_some() && !self.is_dry()
    }

    /// For how long it is waited for that.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.unwrap_or(DRAIN))
    }

    /// Whether only what would be done is to be told.
    pub(super) fn is_dry(&self) -> bool {
        self.dry_run.as_deref().is_some_and(|dry| matches!(dry, "1" | "true"))
    }
}

/// A change as it is asked for: by whom, how, and what its body says.
#[derive(Debug)]
pub(super) struct Asked<T> {
    pub(super) who: Who,
    pub(super) how: How,
    pub(super) said: T,
}

impl<T: DeserializeOwned> FromRequest<Shared> for Asked<T> {
    type Rejection = Response;

    async fn from_request(mut request: Request, state: &Shared) -> Result<Self, Response> {
        let who = request.extract_parts::<Extension<Who>>().await;
        let Extension(who) = who.map_err(IntoResponse::into_response)?;
        let how = request.extract_parts::<Query<How>>().await;
        let how = How::read(how).map_err(IntoResponse::into_response)?;
        let headers = request.headers().clone();
        let body =
            Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let said = read::<T>(&headers, &body).map_err(IntoResponse::into_response)?;
        Ok(Self { who, how, said })
    }
}

/// Why something is asked for, and how it ends.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) bypass: Vec<String>,
}

/// The body of a `PATCH`, and of a `PUT` of overrides.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    /// `null` takes back what was said.
    #[serde(default, deserialize_with = "given_whole")]
    weight: Given<i64>,
    /// `null` takes back what was said.
    #[serde(default)]
    state: Given<String>,
    #[serde(default, deserialize_with = "whole")]
    expires_in_seconds: Option<u64>,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) bypass: Vec<String>,
}

/// A backend to be added.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    pub(super) upstream: String,
    pub(super) address: String,
    #[serde(default, deserialize_with = "whole")]
    pub(super) weight: Option<i64>,
    #[serde(default, deserialize_with = "whole")]
    pub(super) tier: Option<u8>,
    #[serde(default, deserialize_with = "whole")]
    pub(super) max_connections: Option<u32>,
    #[serde(default)]
    pub(super) reason: String,
}

/// What a body says of a member.
#[derive(Debug, Clone, Copy, Default)]
enum Given<T> {
    /// Nothing.
    #[default]
    Not,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

impl<'d, T: Deserialize<'d>> Deserialize<'d> for Given<T> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(from)?.map_or(Self::Null, Self::Value))
    }
}

/// A whole number, as JSON Schema means it: `3.0` is one. `null` is none.
pub(super) fn whole<'d, D: Deserializer<'d>, T: TryFrom<i64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    /// Up to here a float tells each whole number from the next: 2⁵³.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let of_float =
        |float: f64| (float.fract() == 0.0 && float.abs() < EXACT).then_some(float as i64);
    let whole = number.as_i64().or_else(|| of_float(number.as_f64()?));
    let fits = whole.and_then(|whole| T::try_from(whole).ok());
    fits.map(Some)
        .ok_or_else(|| Error::custom(format!("{number} is no whole number that it can be")))
}

fn given_whole<'d, D: Deserializer<'d>>(from: D) -> Result<Given<i64>, D::Error> {
    Ok(whole(from)?.map_or(Given::Null, Given::Value))
}

/// Reads a body of JSON; none at all is an empty object.
pub(super) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() {
        return serde_json::from_str("{}").map_err(|error| {
            Problem::bad_request("bad_body", format!("a body is needed: {error}"))
        });
    }
    if content_type(headers) != Some("application/json") {
        let told = "the body has to be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", told));
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("bad_body", error.to_string()))
}

pub(super) fn reason(text: String) -> Result<String, Problem> {
    if text.chars().count() > LONGEST_REASON || text.chars().any(char::is_control) {
        let told = "a reason is one line of at most 1,000 characters";
        return Err(Problem::bad_request("bad_reason", told));
    }
    Ok(text)
}

pub(super) fn weight(number: i64) -> Result<Weight, Problem> {
    Weight::try_from(number).map_err(|error| Problem::bad_request("bad_weight", error.to_string()))
}

impl Words {
    /// What holds then, and what is taken back.
    pub(super) fn wanted(&self) -> Result<(Vec<Word>, Vec<Kind>), Problem> {
        let (mut words, mut lifted) = (Vec::new(), Vec::new());
        match self.weight {
            Given::Value(number) => words.push(Word::Weight(weight(number)?)),
            Given::Null => lifted.push(Kind::Weight),
            Given::Not => {}
        }
        match &self.state {
            Given::Value(name) => {
                let state = AdminState::named(name).ok_or_else(|| {
                    let all = AdminState::ALL.map(AdminState::name).join(", ");
                    Problem::bad_request("bad_state", format!("state is one of {all}"))
                })?;
                words.push(Word::State(state));
            }
            Given::Null => lifted.push(Kind::State),
            Given::Not => {}
        }
        Ok((words, lifted))
    }

    pub(super) fn lasts(&self) -> Result<Option<Duration>, Problem> {
        match self.expires_in_seconds {
            Some(seconds) if seconds == 0 || seconds > LONGEST.1 => {
                let told = format!("expires_in_seconds is from 1 to {}", LONGEST.1);
                Err(Problem::bad_request("bad_expiry", told))
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: &str) -> Result<Words, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        read(&headers, &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn whole_numbers_may_be_written_as_floats_and_others_are_refused() {
        let weight = |body: &str| match words(body).unwrap().weight {
            Given::Value(weight) => Some(weight),
            Given::Null | Given::Not => None,
        };
        assert_eq!(weight(r#"{"weight": 3}"#), Some(3));
        assert_eq!(weight(r#"{"weight": 3.0}"#), Some(3));
        assert_eq!(weight(r#"{"weight": -1e2}"#), Some(-100));
        assert!(matches!(words(r#"{"weight": null}"#).unwrap().weight, Given::Null));
        assert!(matches!(words("{}").unwrap().weight, Given::Not));
        assert_eq!(words(r#"{"expires_in_seconds": 60.0}"#).unwrap().expires_in_seconds, Some(60));
        for bad in ["3.5", "1e300", "\"3\"", "true", "18446744073709551616", "[1]"] {
            assert!(words(&format!("{{\"weight\": {bad}}}")).is_err(), "{bad}");
        }
        assert!(words(r#"{"expires_in_seconds": -1}"#).is_err());
    }
}
