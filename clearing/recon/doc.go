// Package recon holds the journal against what others say happened: the file of
// each participant, and the statement of the settlement agent. It reads, compares
// and reports; it never changes the books.
//
// Reconcile is the comparison, and is pure. What differs is a Break, with a kind,
// an owner, the money at risk and an identity that follows from its content. The
// Register keeps breaks over time, ends by itself those that were a matter of
// timing, and takes a person's resolution of the others; a break is never edited
// or removed.
//
// # The participant's file
//
// CSV, UTF-8 (ASCII but for a byte order mark), LF or CRLF, at most 5,000,000 rows
// of at most 1,024 bytes, and at most 1 GiB. The first line is exactly
//
//	payment_id,scheme_ref,kind,status,amount,currency,fee,window,date,participant
//
//	payment_id   the switch's id, pay_ and 26 characters; may be empty if scheme_ref is not
//	             (of a chargeback, the dispute's)
//	scheme_ref   the scheme's reference, at most 64 printable characters; may be empty if payment_id is not
//	kind         pay, transfer, refund (a chargeback too), or reversal (of a payment or transfer)
//	status       approved, declined, reversed or pending
//	amount       major units with a point: 12.50; no sign; at most twelve digits of minor units
//	currency     ISO 4217, three letters
//	fee          what the participant was charged, in the same currency; empty: not told, and not compared
//	window       the clearing window, win_000012 or 12; may be empty if date is not
//	date         the business date, 2026-11-22; may be empty if window is not
//	participant  whose movement it is; empty: the sender's
//
// The last line ends as all others do, so that a file that was cut off is seen to
// be. A payment that was turned back is reported as approved with a row of kind
// reversal in the window in which that was, or as one row with status reversed.
//
// # How movements are matched
//
// A movement is a payment in the window that it was posted in, or its reversal in
// the window in which the posting was turned back. The keys are tried in order and
// the first that finds something decides: the switch's payment id; the scheme's
// reference, among the participant's own movements of the same kind, if it is one
// movement's only; at the bank the instruction's id end to end, the same as the
// entry's reference, then the UETR. Equal amounts match nothing: they are written
// into the Proposal of a break, for a person.
//
// # Kinds of breaks
//
//	kind                 owner               at risk
//	MISSING_AT_SCHEME    participant         the movement
//	MISSING_AT_SWITCH    switch              the row, unless it says that nothing moved
//	AMOUNT               participant         the difference
//	CURRENCY             participant, agent  the journal's amount; at the bank, the entry
//	STATUS               who has not moved   what the other side moved
//	DUPLICATE            participant         the further row
//	WINDOW               participant         the movement, until it is in one window on both sides
//	FEE                  participant         the difference
//	UNKNOWN_PARTICIPANT  switch              the row
//	UNPAID_NET           who has to pay      the leg, and what was taken the wrong way
//	PARTIAL              who has to pay      what is open
//	OVERPAID             agent               what is too much
//	UNEXPECTED_ENTRY     agent               the entry
//	LATE_VALUE_DATE      who had to pay      the leg
//	BALANCE              agent               the difference
//
// A difference of status hides all others of the pair, and one of currency hides
// that of amount; window and fee stand beside amount and currency. Entries of the settlement account count from the
// account's view: a participant that pays its net credits it.
package recon
