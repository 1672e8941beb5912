//! Takes in what a verification found while no agent works with the state folder.

use crate::config::Config;
use crate::engine::{Mode, StartError, StateFolder, clock};
use crate::index::{Index, IndexError};
use crate::model::TargetId;

/// Findings taken in with one turn, at most (count).
const TURN_MAX: usize = 500;

/// Takes in all findings that wait. Nothing is done about them before an agent or a pass begins.
pub fn take_findings(config: &Config) -> Result<(), StartError> {
    let (mut index, _keeper) = StateFolder::open(&config.agent.state_dir, Mode::Sync)?.split();
    let served = served(&mut index, config).map_err(|error| StartError::index(&error))?;
    take_all(&mut index, &served).map_err(|error| StartError::index(&error))
}

fn served(index: &mut Index, config: &Config) -> Result<Vec<TargetId>, IndexError> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut served = Vec::new();
    index.begin(clock::wall())?;
    for share in &config.shares {
        let info = index.register_share(&share.name, share.path.as_os_str().as_bytes(), "", false)?;
        for target in &share.targets {
            served.push(index.register_target(info.id, &target.name, &target.place.to_string())?.id);
        }
    }
    index.commit()?;
    Ok(served)
}

fn take_all(index: &mut Index, served: &[TargetId]) -> Result<(), IndexError> {
    loop {
        let page = index.findings(TURN_MAX)?;
        if page.is_empty() {
            return index.set_fact("running", "no");
        }
        index.begin(clock::wall())?;
        for finding in page {
            index.drop_finding(finding.id)?;
            if served.contains(&finding.target) {
                index.take_in(&finding)?;
            }
        }
        index.commit()?;
    }
}
