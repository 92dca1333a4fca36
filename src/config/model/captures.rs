//! What the regular expressions of a route's rules have found.

/// How many groups have a number: `${1}` to `${9}`.
pub const NUMBERED: usize = 9;

/// One group: a number or a name, as a place among the captures of its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture(pub u8);

/// The groups that texts of a route ask for. The expressions are tried in the order host, path,
/// conditions; numbers are those of the last one, names are kept from all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captures {
    /// The names, whose places follow those of the numbers.
    pub names: Vec<String>,
}

impl Captures {
    /// The group of that name or number.
    pub fn find(&self, name: &str) -> Option<Capture> {
        if let Ok(number) = name.parse::<u8>() {
            return (1..=NUMBERED as u8).contains(&number).then(|| Capture(number - 1));
        }
        let place = self.names.iter().position(|one| one == name)?;
        u8::try_from(NUMBERED + place).ok().map(Capture)
    }
}
