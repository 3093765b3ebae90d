// Package office is what the operator and the parties do with the switch besides
// paying: caps, prefunding, suspensions, disputes, reconciliation, and the
// explanation of a position. Each operation is one method of Office, over the
// Ledger that serves payments, and does nothing that is not in the journal.
//
// # How the doors and commands are put on top
//
// An operation takes one struct and returns one value that is ready to be shown:
// its json tags are the wire, and where people read it there is a function that
// makes the cells of a table (BreakTable, SummaryTable, ...). A door has to say
// who is asking: it fills By with the person (operators), or the party with the
// participant that was authenticated, never with what the body says. Every struct
// with DryRun asks the same questions, and writes nothing: doors offer it as
// ?dry_run=true and commands as --dry-run.
//
// An error is a *tongma.Error. Its Reason is the whole answer for machines (HTTP
// status, who has to act, whether a repeat helps); its text ends with a clause on
// what happened to the money. JournalInDoubt is the one that needs care: repeat
// unchanged, everything here is done once.
//
// Disputes: POST raises one (Raise), POST on one of its actions is a Step, whose
// By is the participant that asks; an operator's door leaves By empty and fills
// Person. Whoever is the writer runs RunDisputeClock beside the windows' clock; two
// at once do no harm.
//
// # What is kept where
//
// Caps, suspensions, prefunding and disputes are entries of the journal. The
// register of breaks and the settlement agent's messages are files in the data
// folder (recon/): a break is what somebody else says against the books, and no
// fact of theirs. They can be made again from the files that were sent, but for
// the resolutions that people gave: back the folder up. The entry that puts a
// break right is in the journal, and the resolution names it.
package office
