//! Which test holds which promise: every story of what goes wrong with file sync in offices, and its tests.
//!
//! A story without a test says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many stories there are, numbered from 1.
const COUNT: u32 = 35;

/// Story, what it is about, and the tests that hold its duty.
const STORIES: &[(u32, &str, &[&str])] = &[
    (
        1,
        "the source is not mounted",
        &[
            "a_missing_share_deletes_nothing_and_recovers",
            "an_empty_folder_in_the_place_of_the_share_deletes_nothing_and_recovers",
            "a_share_that_goes_away_under_the_agents_eyes_deletes_nothing_and_recovers",
            "a_share_unmounted_in_mid_run_deletes_nothing_and_recovers",
            "a_share_that_was_emptied_takes_nothing_away_and_goes_on_when_it_is_filled_again",
            "another_folder_in_the_place_of_the_share_deletes_nothing_and_recovers",
        ],
    ),
    (
        2,
        "a nested mount vanishes",
        &[
            "a_mount_inside_the_share_that_vanishes_deletes_nothing",
            "another_disk_in_the_place_of_a_mount_inside_the_share_is_taken_once_it_is_approved_and_only_then",
            "a_mount_inside_the_share_that_vanishes_under_the_agents_eyes_deletes_nothing_and_recovers",
        ],
    ),
    (
        3,
        "half-broken storage",
        &[
            "a_folder_whose_listing_breaks_off_in_the_middle_loses_nothing",
            "a_folder_that_cannot_be_listed_at_all_loses_nothing",
            "half_of_a_folder_that_answers_with_errors_loses_nothing",
            "a_folder_that_neither_lists_nor_opens_loses_nothing",
            "what_breaks_under_the_agents_eyes_is_told_and_heals_by_itself",
        ],
    ),
    (
        4,
        "a mass deletion",
        &[
            "a_deletion_that_looks_like_an_accident_waits_for_a_person",
            "of_a_hundred_thousand_files_all_are_renamed_and_300_deleted_and_20_000_are_not",
            "a_branch_switched_in_a_checkout_does_not_halt",
            "empty_folders_are_no_files",
            "a_deleted_file_leaves_the_target_and_stays_in_history",
            "a_share_that_was_emptied_takes_nothing_away_from_a_bucket",
            "a_bit_that_turned_over_is_found_told_and_put_right_and_the_bad_version_goes_to_history",
        ],
    ),
    (
        5,
        "the target is not mounted",
        &[
            "a_missing_target_is_named_and_not_created",
            "a_target_recreated_empty_is_offline_and_nothing_is_written_into_it",
            "a_target_that_goes_away_under_the_agents_eyes_is_not_made_anew_and_recovers",
            "a_target_unmounted_in_mid_run_is_not_written_below_its_mount_point",
            "the_last_hundredth_of_a_targets_disk_is_left_to_others",
            "another_target_in_the_place_of_ours_is_left_as_it_is_and_ours_is_taken_up_again",
        ],
    ),
    (6, "watch limits", &["what_a_watch_limit_leaves_uncovered_is_said_and_found_all_the_same"]),
    (7, "overflow storms", &["a_burst_that_overflows_the_event_queue_loses_nothing"]),
    (
        8,
        "the watcher drifts from the truth",
        &[
            "a_folder_renamed_under_the_agents_eyes_is_renamed_and_not_copied",
            "cp_into_the_share_arrives",
            "tar_into_the_share_arrives",
            "rsync_into_the_share_arrives_and_arrives_again",
            "git_clone_and_checkout_in_the_share_arrive",
        ],
    ),
    (
        10,
        "half-written files",
        &[
            "a_file_that_keeps_growing_is_published_as_exact_prefixes",
            "a_file_that_someone_writes_to_is_not_published_until_it_is_closed",
            "a_database_that_is_written_to_arrives_whole",
            "no_reader_of_the_target_ever_misses_a_file_that_is_replaced",
            "killed_a_hundred_times_it_never_leaves_a_partial_file_and_always_finishes",
        ],
    ),
    (
        11,
        "the save dance of Office",
        &[
            "the_save_dance_of_word_is_one_replacement",
            "a_file_deleted_and_saved_anew_at_once_is_one_replacement",
            "a_save_by_vim_is_a_new_version",
            "a_document_converted_by_libreoffice_arrives",
        ],
    ),
    (12, "lock files", &["ignored_names_are_not_mirrored_and_not_deleted"]),
    (
        13,
        "green while nothing moves",
        &[
            "what_is_said_to_be_protected_is_on_the_target",
            "the_status_of_an_office_where_nothing_ever_ran_is_unknown",
            "a_bit_that_turned_over_is_found_told_and_put_right_and_the_bad_version_goes_to_history",
            "the_status_of_a_dead_agent_says_so_at_once",
        ],
    ),
    (
        14,
        "nobody can see what is pending",
        &[
            "status_holds_what_other_programs_rely_on",
            "the_trail_tells_every_change_with_its_cause_after_the_agent_has_ended",
            "the_trail_tells_of_holds_places_and_what_people_ask",
            "pipes_and_sockets_are_named_as_problems_and_stop_nothing_else",
        ],
    ),
    (
        16,
        "stale handles",
        &[
            "half_of_a_folder_that_the_file_server_forgot_loses_nothing",
            "a_folder_that_cannot_be_listed_at_all_loses_nothing",
        ],
    ),
    (
        17,
        "a full disk",
        &[
            "a_full_target_is_said_loses_nothing_and_recovers",
            "a_target_that_fills_up_under_the_agents_eyes_goes_on_by_itself",
        ],
    ),
    (20, "NFC and NFD twins", &["names_that_differ_only_in_composition_are_both_kept_and_reported"]),
    (
        21,
        "case twins",
        &["names_that_differ_only_in_case_are_both_kept_and_reported", "a_name_that_changes_only_in_case_is_a_rename"],
    ),
    (
        22,
        "renames sent again",
        &[
            "a_renamed_file_is_renamed_on_the_target_and_not_copied",
            "a_renamed_folder_of_a_thousand_files_is_renamed_and_not_copied",
            "a_folder_renamed_under_the_agents_eyes_is_renamed_and_not_copied",
            "of_a_hundred_thousand_files_all_are_renamed_and_300_deleted_and_20_000_are_not",
            "what_is_renamed_is_copied_on_the_server_and_not_sent_again",
            "a_folder_renamed_in_a_bucket_file_by_file_is_no_removal_that_halts",
        ],
    ),
    (
        25,
        "ransomware, or a mass edit",
        &[
            "what_came_since_is_left_unless_it_is_to_be_as_it_was_exactly",
            "a_share_is_had_back_as_it_was_at_any_time_from_every_target",
            "documents_encrypted_in_place_halt_before_most_are_replaced",
            "documents_renamed_and_encrypted_halt_before_most_are_gone",
            "five_thousand_of_twenty_thousand_encrypted_halt_after_a_hundred",
            "an_attack_under_the_agents_eyes_halts_and_is_recorded_on_and_lifts_once_it_is_undone",
            "an_attack_is_taken_back_by_the_very_command_that_status_names",
            "an_attack_halts_a_bucket_after_a_tenth_and_one_command_takes_it_back",
            "approval_lets_through_what_was_seen_and_the_next_burst_halts_again",
            "what_is_normal_after_three_nights_passes_without_question",
            "a_nightly_build_that_rewrites_three_thousand_files_does_not_halt",
            "a_branch_of_thousands_switched_in_a_checkout_does_not_halt",
            "archives_pictures_and_sealed_files_rewritten_are_no_attack",
            "logs_that_are_compressed_in_their_place_are_no_attack",
        ],
    ),
    (26, "conflict floods", &["a_foreign_file_with_the_same_content_is_adopted"]),
    (
        27,
        "unseen edits overwritten",
        &[
            "a_foreign_file_in_the_place_of_ours_is_kept_and_reported",
            "a_foreign_edit_of_our_file_is_not_overwritten",
            "a_foreign_edit_of_our_file_outlives_the_deletion_of_ours",
            "with_drift_overwritten_a_foreign_edit_goes_to_history",
            "the_target_of_another_share_is_refused",
            "a_target_recreated_empty_is_offline_and_nothing_is_written_into_it",
            "what_someone_else_changed_is_kept_and_told",
        ],
    ),
    (28, "edits of the same size missed", &["an_edit_of_the_same_length_and_time_is_seen"]),
    (
        29,
        "deleted files come back",
        &[
            "an_index_of_last_week_undoes_nothing_and_sends_nothing_again",
            "what_was_deleted_before_the_index_was_lost_does_not_come_back",
            "what_was_deleted_while_the_index_was_of_last_week_does_not_come_back_and_goes_into_history",
            "what_was_deleted_while_the_index_was_lost_does_not_come_back_and_its_copy_is_left_and_counted",
        ],
    ),
    (31, "empty folders lost", &["the_first_sync_copies_everything_that_a_folder_holds"]),
    (
        34,
        "an old or lost index",
        &[
            "an_index_of_last_week_undoes_nothing_and_sends_nothing_again",
            "an_index_of_last_week_sends_a_bucket_nothing_that_is_there",
            "pages_overwritten_at_random_are_noticed_and_nothing_is_sent_again",
            "with_the_index_deleted_the_next_sync_adopts_what_is_there",
            "with_the_whole_state_folder_deleted_the_next_sync_adopts_what_is_there",
            "a_corrupt_index_is_set_aside_and_rebuilt",
            "an_index_damaged_in_the_middle_loses_nothing",
            "however_the_index_was_lost_no_byte_is_written_in_a_folder_on_the_way_back",
            "however_the_index_was_lost_what_is_written_on_the_way_back_is_no_content",
            "after_the_index_was_deleted_nothing_is_sent_and_each_file_is_asked_about_once",
            "after_the_index_became_noise_nothing_is_sent_and_each_file_is_asked_about_once",
            "with_an_index_of_last_week_nothing_is_sent_and_only_what_changed_is_asked_about",
        ],
    ),
    (
        35,
        "locked out until someone resyncs",
        &[
            "killed_a_hundred_times_it_never_leaves_a_partial_file_and_always_finishes",
            "asked_to_end_in_the_middle_of_a_large_file_it_ends_soon_and_finishes_later",
            "what_was_killed_while_it_deleted_and_renamed_finishes_on_the_next_pass",
            "a_second_agent_may_start_after_the_first_was_killed",
        ],
    ),
];

/// Stories that no test of the real program holds, and why.
const UNTOLD: &[(u32, &str)] = &[
    (9, "needs a network file system as the share"),
    (15, "needs a network mount that hangs"),
    (18, "S3"),
    (19, "S3"),
    (23, "measured by tests/bench/million.sh"),
    (24, "S3"),
    (30, "S3, and a clock that can be set"),
    (32, "measured by tests/bench/latency.py, not asserted"),
    (33, "rate limits are not there yet"),
];

/// Every `#[test]` function below `folder`.
pub(crate) fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            tests_in(&fs::read_to_string(path).expect("a source"), found);
        }
    }
}

fn tests_in(text: &str, found: &mut BTreeSet<String>) {
    let after_marks = text.split("#[test]\n").skip(1);
    let heads = after_marks.filter_map(|rest| rest.lines().find(|line| line.trim_start().starts_with("fn ")));
    let names = heads.filter_map(|head| head.trim_start().strip_prefix("fn ")?.split('(').next());
    found.extend(names.map(str::to_owned));
}

#[test]
fn every_test_that_a_story_names_is_there() {
    let mut found = BTreeSet::new();
    tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut found);
    for (number, story, tests) in STORIES {
        assert!(!tests.is_empty(), "story {number} ({story}) names no test");
        for test in *tests {
            assert!(found.contains(*test), "story {number} ({story}) names {test}, which is not there");
        }
    }
}

#[test]
fn every_story_has_a_test_or_a_reason() {
    let mut numbers: Vec<u32> = STORIES.iter().map(|story| story.0).chain(UNTOLD.iter().map(|story| story.0)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=COUNT).collect::<Vec<_>>());
    assert!(UNTOLD.iter().all(|(_, why)| !why.is_empty()));
}
