package sim

import (
	"math/rand/v2"
	"time"
)

// Fault is a kind of accident. Each has to happen over a run of many histories,
// or the run proves less than it says.
type Fault uint8

// The kinds of accidents.
const (
	RequestDropped Fault = iota
	RequestDuplicated
	AnswerDropped
	AnswerLate
	Reordered
	PartitionAcquirer
	PartitionScheme
	PartitionAgent
	SchemeYesLate
	SchemeGarbage
	SchemeContradiction
	SchemeDown
	AdapterBusy
	AdapterGone
	PayerYes
	PayerNo
	PayerNever
	WalletCrash
	SwitchCrash
	RecoveryCrash
	SwitchStop
	TwoSwitches
	StandbyTakesOver
	Fenced
	ClockForward
	ClockBack
	AppendNotStored
	AppendStored
	AppendStoredLate
	TornWrite
	TailLost
	BitFlip
	DiskSlow
	DiskFull
	DiskAway
	AgentRejects
	AgentSilent
	AgentTwice
	AgentParts
	AgentPending
	Short
	Covered
	Deferred
	Recast
	Prefunded
	CapLowered
	Suspended
	Resumed
	WindowClosed
	RefundAsked
	ReversalAsked
	Repeated
	RepeatedOtherwise
	ReversalFirst
	CodeTwice
	AskerHungUp
	faultCount
)

var faultNames = [faultCount]string{"request dropped", "request duplicated", "answer dropped", "answer late", "reordered", "partition acquirer-switch",
	"partition switch-scheme", "partition switch-agent", "scheme says yes late", "scheme answers garbage", "scheme contradicts itself", "scheme down",
	"adapter busy", "adapter gone", "payer confirms", "payer refuses", "payer never confirms", "wallet crash", "switch crash", "crash in recovery",
	"switch stopped", "two switches", "standby takes over", "old writer fenced", "clock forward", "clock back", "append in doubt, not stored", "append in doubt, stored",
	"append in doubt, stored later", "torn write", "tail lost", "bit flip", "slow disk", "disk full", "disk away", "agent rejects", "agent silent", "agent told twice", "agent moves a part", "agent decides later", "debtor short", "cover", "payment deferred", "recast", "prefunding",
	"cap lowered", "suspended", "resumed", "window closed", "refund", "reversal", "repeat", "repeat with other amount", "reversal before original", "code presented twice", "asker hung up"}

// String returns the name that reports use.
func (f Fault) String() string { return faultNames[f] }

// Faults returns all kinds, in the order of reports.
func Faults() []Fault {
	all := make([]Fault, faultCount)
	for i := range all {
		all[i] = Fault(i)
	}
	return all
}

// plan is how much of what goes wrong in a history. Each history leaves some
// kinds out: faults hide each other, and a world where all goes wrong at once
// never gets far.
type plan struct {
	payments int           // asked for by tills; refunds come on top
	span     time.Duration // within which they are asked for
	bursts   float64       // of them come close behind another

	drop, duplicate, late float64 // of messages
	partitions            int
	hangUp                float64

	decline, confirm              float64 // of first questions
	slowScheme, garbage, busy     float64
	schemesDown, walletCrashes    int
	crashes, stops, twos          int
	recrash                       float64 // of starts
	jumps                         int
	lost, unsaid, stale           float64 // of appends
	slowDisk, fullDisk, noDisk    int
	flip                          bool
	reject, silent, part, pending float64 // of instructions
	directories, closes           int
	refund, reverse, again        float64 // of paid payments
	reverseFirst, otherwise       float64
	codeTwice                     float64
	snapshots                     bool
	snapEvery                     uint64 // entries
	nights                        int
	dispute                       float64       // of paid payments
	byHand                        bool          // a model is settled by people
	every                         time.Duration // the clock closes windows; 0: nobody but people do
	confirms                      bool          // a switch asks before each answer whether it is still the writer
}

// draw makes a plan: each kind of fault is in it or not, and if it is, seldom or
// often.
func draw(r *rand.Rand) plan {
	some := func(seldom, often float64) float64 {
		switch r.IntN(4) {
		case 0, 1:
			return 0
		case 2:
			return seldom
		}
		return often
	}
	few := func(most int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return 1 + r.IntN(most)
	}
	p := plan{payments: 8 + r.IntN(25), bursts: some(0.2, 0.7), drop: some(0.02, 0.2), duplicate: some(0.03, 0.2), late: some(0.02, 0.1), partitions: few(4),
		hangUp: some(0.03, 0.2), decline: 0.1, confirm: some(0.1, 0.3), slowScheme: some(0.03, 0.2), garbage: some(0.03, 0.2), busy: some(0.02, 0.1),
		schemesDown: few(2), walletCrashes: few(2), crashes: few(3), stops: few(2), recrash: some(0.2, 0.6), jumps: few(3),
		lost: some(0.02, 0.1), unsaid: some(0.02, 0.1), stale: some(0.02, 0.1), slowDisk: few(3), reject: some(0.1, 0.4), silent: some(0.1, 0.3), part: some(0.05, 0.2), pending: some(0.1, 0.3), confirms: r.IntN(2) == 0,
		directories: few(4), closes: few(4), refund: some(0.2, 0.5), reverse: some(0.1, 0.3), again: some(0.2, 0.5), reverseFirst: some(0.03, 0.15), otherwise: some(0.05, 0.2), codeTwice: some(0.05, 0.2)}
	p.span = between(r, 20*time.Second, 4*time.Minute)
	if r.IntN(8) == 0 {
		p.span = between(r, 10*time.Minute, 3*time.Hour)
	}
	if r.IntN(6) == 0 {
		p.twos = 1 + r.IntN(2)
	}
	if r.IntN(10) == 0 {
		p.fullDisk = 1
	}
	if r.IntN(10) == 0 {
		p.noDisk = 1
	}
	p.flip = r.IntN(25) == 0
	p.byHand = r.IntN(6) == 0
	p.snapshots, p.snapEvery = r.IntN(4) == 0, uint64(10+r.IntN(60))
	p.dispute, p.nights = 0.2+0.5*r.Float64(), r.IntN(4)-1
	if r.IntN(4) == 0 {
		p.every = between(r, 20*time.Second, 5*time.Minute)
	}
	return p
}
