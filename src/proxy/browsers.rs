//! Old browsers that do not take kept connections well, after nginx's `keepalive_disable`
//! (`ngx_http_process_user_agent`).

use memchr::memmem;

use crate::http1::{Known, RequestHead};
use crate::snapshot::settings::OldBrowsers;

/// Whether the connection is closed after the answer to this request.
pub(super) fn is_closed_for(browsers: OldBrowsers, head: &RequestHead) -> bool {
    let msie6 = browsers.msie6 && head.method() == b"POST";
    if !msie6 && !browsers.safari {
        return false;
    }
    let Some(agent) = head.first(Known::UserAgent) else { return false };
    (msie6 && is_msie6(agent)) || (browsers.safari && is_safari(agent))
}

fn has(agent: &[u8], word: &str) -> bool {
    memmem::find(agent, word.as_bytes()).is_some()
}

/// What stands behind `MSIE `, at least three bytes.
fn msie(agent: &[u8]) -> Option<&[u8]> {
    let behind = &agent[memmem::find(agent, b"MSIE ")? + "MSIE ".len()..];
    Some(behind).filter(|behind| behind.len() > 2)
}

fn is_msie6(agent: &[u8]) -> bool {
    let old = match msie(agent) {
        Some([b'4' | b'5', b'.', ..]) => true,
        // With its second service pack it is sound.
        Some([b'6', b'.', _, rest @ ..]) => !has(rest, "SV1"),
        _ => false,
    };
    old && !has(agent, "Opera")
}

fn is_safari(agent: &[u8]) -> bool {
    let others = ["Opera", "Gecko/", "Chrome/"];
    let other = msie(agent).is_some() || others.iter().any(|word| has(agent, word));
    !other && has(agent, "Safari/") && has(agent, "Mac OS X")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Limits;

    fn closed(method: &str, agent: &str) -> (bool, bool) {
        let mut head = RequestHead::default();
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        let only = |msie6, safari| is_closed_for(OldBrowsers { msie6, safari }, &head);
        (only(true, false), only(false, true))
    }

    #[test]
    fn browsers_are_told_as_nginx_tells_them() {
        const MSIE6: &str = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)";
        const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605 \
                              (KHTML, like Gecko) Version/15 Safari/605";
        assert_eq!(closed("POST", MSIE6), (true, false));
        assert_eq!(closed("GET", MSIE6), (false, false), "only a POST");
        assert_eq!(closed("POST", "Mozilla/4.0 (compatible; MSIE 5.5)"), (true, false));
        for sound in [
            "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows)",
            "Mozilla/4.0 (compatible; MSIE 6.0; Windows) Opera 8",
            "curl/8",
            "MSIE 6.",
        ] {
            assert_eq!(closed("POST", sound), (false, false), "{sound}");
        }
        assert_eq!(closed("GET", SAFARI), (false, true));
        assert_eq!(closed("GET", &format!("{SAFARI} Chrome/9")), (false, false));
        assert_eq!(closed("GET", "Safari/605 (Windows)"), (false, false));
    }
}
