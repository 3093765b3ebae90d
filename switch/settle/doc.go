// Package settle has windows settled: it closes them when their schedule says so
// (Clock), tells the settlement agent what each net sheet asks for, writes down each
// thing that the agent confirms, and goes through the rules of the market when a
// participant cannot pay (Settler).
//
// Three answers, never two: what the agent has not confirmed and not refused is not
// known. It is asked again under the same id, and until the answer is there nothing
// happens that an answer could contradict.
//
// Everything that the Settler knows is in the journal or with the agent, and every
// id is derived from the journal. So it may stop at any line and be called again:
// it instructs the same ids, the agent moves nothing twice, and the end is the same
// (TestStoppedAtEveryStepTheEndIsTheSame).
//
// When a participant is short (its debit is refused), in this order: its debits are
// suspended by the entry that says so; its own prefunding; the guarantee line; the
// survivors by the loss-sharing key; what cannot settle even so rolls over to the
// next window by the rule of Bech and Soramäki. Plan says beforehand what would be
// done, from figures alone.
package settle
