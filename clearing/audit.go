package clearing

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// AuditCheck is one rule that the audit proves of a journal.
type AuditCheck struct {
	ID   string `json:"id"`   // stable: findings, dashboards and tests name it
	Rule string `json:"rule"` // what holds if there is no finding, as one sentence
}

// Checks of the audit, by id.
const (
	checkChain     = "chain"
	checkKnown     = "known-hash"
	checkEntry     = "entry"
	checkNumbers   = "numbers"
	checkTime      = "time"
	checkDirectory = "directory"
	checkKey       = "key"
	checkPayment   = "payment"
	checkPhase     = "phase"
	checkSame      = "same"
	checkAmount    = "amount"
	checkCode      = "code"
	checkCap       = "cap"
	checkSuspended = "suspended"
	checkApproval  = "approval"
	checkPrefund   = "prefunding"
	checkHolds     = "holds"
	checkCapture   = "capture"
	checkExpiry    = "expiry"
	checkFees      = "fees"
	checkRefund    = "refund"
	checkReversal  = "reversal"
	checkWindow    = "window"
	checkAuth      = "auth-window"
	checkWindows   = "windows"
	checkMatrix    = "matrix"
	checkZeroSum   = "zero-sum"
	checkSheet     = "sheet"
	checkLegs      = "legs"
	checkDebits    = "debits-first"
	checkSettled   = "settled"
	checkPosition  = "position"
	checkOverflow  = "overflow"
	checkModels    = "models"
	checkShort     = "short"
	checkCover     = "cover"
	checkRecast    = "recast"
	checkSponsor   = "sponsor"
	checkDispute   = "dispute"
	checkExchange  = "exchange"
	checkHand      = "by-hand"
	checkRetry     = "retries"
	checkCarry     = "carry"
	checkGather    = "gather"
	checkClaim     = "claim"
	checkHome      = "home"
)

var auditChecks = []AuditCheck{
	{checkChain, "Every batch names the hash of the batch before it and the Merkle root of its own entries, and only the writer of its epoch wrote it."},
	{checkKnown, "Every batch hash that is held elsewhere is found again at its number."},
	{checkEntry, "Every entry is in canonical form, and of a known kind."},
	{checkNumbers, "Entries are numbered from 1 without a gap."},
	{checkTime, "Time never goes back."},
	{checkDirectory, "The directory version only rises, and every entry names the one in force."},
	{checkKey, "An asker's key is used once."},
	{checkPayment, "A payment's id is used once."},
	{checkPhase, "A payment passes through its phases in order, and no end is passed."},
	{checkSame, "What a later entry repeats of a payment agrees with its first entry."},
	{checkAmount, "Amounts that are held are more than zero, of at most twelve digits, and in a currency of ISO 4217."},
	{checkCode, "A payer's code is spent once, unless it was given back."},
	{checkCap, "At every hold, position + reserved + amount was within the debtor's cap and prefunding as of that entry."},
	{checkSuspended, "No amount of a suspended debtor was held."},
	{checkApproval, "A cap that was proposed is approved or rejected once, by somebody else than its maker, and approved only if no other came between."},
	{checkPrefund, "Each deposit and withdrawal has a key of its own, and nothing was withdrawn that was not there, in use, or of a suspended participant."},
	{checkHolds, "Reserved amounts are the sum of the open holds, and never less than zero."},
	{checkCapture, "What is posted of a hold is more than zero and not more than was held."},
	{checkExpiry, "No hold is dropped before its time."},
	{checkFees, "Fees move between two, with a posting and in its currency; a refund or a chargeback gives back its proportion of those that say so, a reversal all."},
	{checkRefund, "Refunds go back the way the payment came, in its currency, and in sum never pass it."},
	{checkReversal, "Nothing that was refunded, or is disputed, is reversed, and no refund is reversed."},
	{checkWindow, "Every posting is in exactly one window: the one of its model that was open at its entry."},
	{checkAuth, "Every payment names the window that was open when it was asked for."},
	{checkWindows, "Windows open, close, are collected, paid and settled in this order, once, and each close opens the next."},
	{checkMatrix, "The row sums of the bilateral matrix less its column sums are the multilateral figures."},
	{checkZeroSum, "Every posting has a debit and a credit, and all figures of a currency add up to zero."},
	{checkSheet, "The sheet hash in instructions and settlement is the one recomputed from the items."},
	{checkLegs, "Every confirmed leg is one of the net sheet, confirmed once, and a settled window has none left."},
	{checkDebits, "No credit of a window is paid before all of its debits are collected."},
	{checkSettled, "What was collected for a settled window is what was paid out, per currency."},
	{checkPosition, "A position is what all windows say of it, less what was settled."},
	{checkOverflow, "No sum left the range of 64 bits."},
	{checkModels, "Every settlement model has one open window, and a refund is settled by the model of its original."},
	{checkShort, "Whoever was found short owed as much by the sheet, and is suspended by the same entry."},
	{checkCover, "Others, or its own prefunding, paid only for who was short, never more than was due, and nothing was covered from what was not there."},
	{checkHand, "What people say that the settlement agent did is said by two of them, alike and on the same evidence, and only of what is due."},
	{checkRetry, "What the settlement agent refused was sent again only under an id of its own, and nobody else paid for it before that had its end."},
	{checkRecast, "Payments, chargebacks and what is owed for covers are deferred only out of a window in which somebody is short and no answer is awaited, for one currency at a time, into the next one of the same model; nothing is settled until the sheet is drawn up anew."},
	{checkExchange, "The two amounts of a payment in two currencies follow from the rate that it names, by a quote that is used once; both are held, posted or released together, and what goes back of it goes back on both sides in proportion."},
	{checkDispute, "Disputes are raised by the payer's network, go on by whose turn it is, in time, and never take more than is left of the payment; each is charged back at most once, and rulings are two people's."},
	{checkCarry, "Room that goes to another shard, or comes from one, is numbered without a gap, was there, and is double entry with that shard's account."},
	{checkGather, "Windows of shards are closed for one of the head's each, are handed over whole before it is settled, and settled by it alone."},
	{checkClaim, "A key is given to one shard once, by its owner, and not used here when another has it."},
	{checkHome, "Payments are held in the shard in which their debtor is at home; who moves takes its caps and prefunding along, and leaves none behind."},
	{checkSponsor, "A sub-participant has one sponsor, which has none; it changes only when nothing of the sub-participant is open; what it adds to its sponsor's account is the sum of its own movements in windows that are not settled."},
}

// AuditChecks returns what an audit proves, in the order in which it is shown.
func AuditChecks() []AuditCheck { return append([]AuditCheck(nil), auditChecks...) }

// AuditOptions are the choices of an audit.
type AuditOptions struct {
	Shard       uint16
	MaxFindings int                 // kept in the report; the others are counted. Default 100
	Known       map[uint64][32]byte // batch hashes held elsewhere, by batch number: how a lost tail is noticed
}

// Finding is one place where a rule does not hold.
type Finding struct {
	Check  string `json:"check"`
	Entry  uint64 `json:"entry,omitempty"`
	Batch  uint64 `json:"batch,omitempty"`
	Detail string `json:"detail"`
}

// Report is what an audit found. All amounts are minor units.
type Report struct {
	OK        bool            `json:"ok"` // no findings
	Entries   uint64          `json:"entries"`
	Batches   uint64          `json:"batches"`
	Ignored   uint64          `json:"ignored_batches"` // of deposed writers
	Head      string          `json:"head_hash,omitempty"`
	Directory uint64          `json:"directory"`
	Payments  AuditPayments   `json:"payments"`
	OpenHolds int64           `json:"open_holds"`
	Totals    []AuditTotal    `json:"totals"`
	Positions []AuditPosition `json:"positions"`
	Windows   []AuditWindow   `json:"windows"`
	Findings  []Finding       `json:"findings"`
	More      int             `json:"more_findings,omitempty"` // counted but not kept
}

// AuditPayments counts payments and refunds by how they stand.
type AuditPayments struct {
	Held       int64 `json:"held"`
	Pending    int64 `json:"pending"`
	Posted     int64 `json:"posted"`
	Refused    int64 `json:"refused"`
	Voided     int64 `json:"voided"`
	Reversing  int64 `json:"reversing"`
	Reversed   int64 `json:"reversed"`
	Tombstones int64 `json:"tombstones"`
	Expired    int64 `json:"expired,omitempty"`
}

// AuditTotal sums up one currency.
type AuditTotal struct {
	Currency    string `json:"currency"`
	Postings    int64  `json:"postings"`       // how many, refunds and reversals included
	Posted      int64  `json:"posted_minor"`   // gross of all postings, without fees
	Refunded    int64  `json:"refunded_minor"` // of which refunds
	Reversed    int64  `json:"reversed_minor"` // of which turned back
	Held        int64  `json:"held_minor"`     // open holds
	Collected   int64  `json:"collected_minor"`
	Paid        int64  `json:"paid_minor"`
	Fees        int64  `json:"fees_minor,omitempty"`         // gross of all fee legs, those given back included
	ChargedBack int64  `json:"charged_back_minor,omitempty"` // by disputes
}

// AuditPosition is one account.
type AuditPosition struct {
	Participant string `json:"participant"`
	Currency    string `json:"currency"`
	Position    int64  `json:"position_minor"` // more than zero owes
	Reserved    int64  `json:"reserved_minor"`
	Cap         *int64 `json:"cap_minor,omitempty"` // none: it may only receive
	Suspended   bool   `json:"suspended,omitempty"`
	Prefunded   int64  `json:"prefunded_minor,omitempty"`
	Sponsor     string `json:"sponsor,omitempty"`
	Memo        int64  `json:"memo_position_minor,omitempty"` // what it adds to its sponsor's
	MemoHeld    int64  `json:"memo_reserved_minor,omitempty"`
}

// AuditWindow is one window; it holds the entries [Opened, Closed).
type AuditWindow struct {
	Window uint64     `json:"window"`
	Model  string     `json:"model,omitempty"`
	Method string     `json:"method,omitempty"` // bilateral or gross; none is multilateral
	State  string     `json:"state"`            // open, closed, collecting, paying, short, recasting, settled
	Opened uint64     `json:"opened_entry"`
	Closed uint64     `json:"closed_entry,omitempty"`
	Items  int64      `json:"items"`
	Sheet  string     `json:"sheet_hash,omitempty"` // of a closed window
	Nets   []AuditNet `json:"nets"`
}

// AuditNet is one figure of a net sheet: more than zero pays.
type AuditNet struct {
	Participant string `json:"participant"`
	Currency    string `json:"currency"`
	Net         int64  `json:"net_minor"`
}

// Audit recomputes everything from the journal in store: chain, payments,
// positions, windows, sheets and settlement. It shares the reading of entries
// with the Book, and nothing else. A journal that breaks a rule gives a report
// with findings; an error means that the journal could not be read to its end.
func Audit(ctx context.Context, store journal.Store, opts AuditOptions) (Report, error) {
	a := NewAuditor(opts)
	err := store.Read(ctx, 1, func(seq uint64, message []byte) error {
		a.Message(seq, message)
		if a.broken {
			return errAuditEnds
		}
		return nil
	})
	if err != nil && !errors.Is(err, errAuditEnds) {
		return a.Report(), fmt.Errorf("clearing.Audit: reading the journal: %w", err)
	}
	return a.Report(), nil
}

var errAuditEnds = errors.New("clearing: the chain is broken")

// Auditor is an audit in steps, for those who follow a journal. One goroutine
// uses it. Feed it messages as they stand in the stream (Message) or batches
// whose chain was checked already (Batch), not both.
type Auditor struct {
	opts    AuditOptions
	chain   *journal.Chain
	broken  bool
	unknown map[uint64][32]byte // known hashes not come to yet

	batch, entries, batches uint64
	next                    uint64
	clock                   int64
	directory               uint64
	at                      uint64 // entry being looked at
	accounts                map[auditAccount]*auditBalance
	suspended               map[tongma.ParticipantID]bool
	payments                map[tongma.PaymentID]*auditPayment
	keys                    map[auditKey]struct{}
	orders                  map[string]*auditOrder
	codes                   map[Digest]int64 // day of the hold
	windows                 []*auditWindow
	open                    map[string]*auditWindow // by model
	quotes                  map[string]int64        // day of the hold
	disputes                map[tongma.PaymentID]*auditDispute
	sponsors                map[tongma.ParticipantID]tongma.ParticipantID
	usedUp                  map[*auditBalance]*big.Int // prefunding that covered a debit
	shards                  auditShards
	totals                  map[tongma.Currency]*AuditTotal
	findings                []Finding
	more                    int
}

type auditAccount struct {
	who      tongma.ParticipantID
	currency tongma.Currency
}

type auditKey struct {
	asker tongma.ParticipantID
	key   string
}

// NewAuditor starts an audit at the beginning of a journal.
func NewAuditor(opts AuditOptions) *Auditor {
	if opts.MaxFindings <= 0 {
		opts.MaxFindings = 100
	}
	a := &Auditor{opts: opts, chain: journal.NewChain(journal.Position{Shard: opts.Shard}), next: 1,
		unknown: map[uint64][32]byte{}, accounts: map[auditAccount]*auditBalance{}, suspended: map[tongma.ParticipantID]bool{},
		payments: map[tongma.PaymentID]*auditPayment{}, keys: map[auditKey]struct{}{}, orders: map[string]*auditOrder{}, open: map[string]*auditWindow{}, usedUp: map[*auditBalance]*big.Int{}, sponsors: map[tongma.ParticipantID]tongma.ParticipantID{}, disputes: map[tongma.PaymentID]*auditDispute{}, quotes: map[string]int64{}, codes: map[Digest]int64{},
		totals: map[tongma.Currency]*AuditTotal{}, shards: newAuditShards()}
	for number, hash := range opts.Known {
		a.unknown[number] = hash
	}
	return a
}

// Message audits the message at a sequence of the stream. Behind a broken link
// nothing is evidence any more: that finding ends the audit, and further
// messages are passed over.
func (a *Auditor) Message(seq uint64, message []byte) {
	if a.broken {
		return
	}
	b, counts, err := a.chain.Check(seq, message)
	if err != nil {
		a.broken, a.at = true, 0
		a.batch = a.chain.Position().Number + 1
		a.find(checkChain, "%v", err)
		return
	}
	if !counts {
		return
	}
	if want, ok := a.unknown[b.Number]; ok {
		delete(a.unknown, b.Number)
		if got := a.chain.Position().Hash; got != want {
			a.batch, a.at = b.Number, 0
			a.find(checkKnown, "batch %d has hash %x, %x is known", b.Number, got, want)
		}
	}
	a.Batch(b)
}

// Batch audits the entries of a batch whose place in the chain was checked.
func (a *Auditor) Batch(b journal.Batch) {
	a.batch = b.Number
	a.batches++
	for i, data := range b.Entries {
		e, err := ParseEntry(data)
		a.at = b.First + uint64(i)
		if err != nil {
			a.find(checkEntry, "%d bytes are not a canonical entry", len(data))
			a.next = a.at + 1
			continue
		}
		a.Entry(&e)
	}
}

// Entry audits one entry that follows on the ones before it.
func (a *Auditor) Entry(e *Entry) {
	a.at = e.Number
	a.entries++
	if e.Number != a.next {
		a.find(checkNumbers, "entry %d where %d was due", e.Number, a.next)
	}
	if e.Time < a.clock {
		a.find(checkTime, "%d ms before the entry before it", a.clock-e.Time)
	}
	a.next, a.clock = e.Number+1, max(a.clock, e.Time)
	a.checkDirectory(e)
	if len(e.Legs) > 0 && e.Kind != KindPost && e.Kind != KindReversed && e.Kind != KindDisputeStep {
		a.find(checkFees, "%d fees in an entry that moves nothing", len(e.Legs))
	}
	switch e.Kind {
	case KindHold, KindRefuse, KindTombstone:
		a.asked(e)
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		a.changed(e)
	case KindOpen:
		a.opened(e)
	case KindClose:
		a.closed(e)
	case KindInstruct, KindSettle, KindSettled, KindShort, KindCover, KindDefer, KindRecast, KindCoverAsked, KindCoverRefused, KindWord, KindWordRejected, KindRetry:
		a.settling(e)
	case KindCap:
		a.capped(e)
	case KindDispute:
		a.raised(e)
	case KindDisputeStep:
		a.stepped(e)
	case KindSponsor:
		a.sponsored(e)
	case KindCapProposed:
		a.capProposed(e)
	case KindCapApproved, KindCapRejected:
		a.capChecked(e)
	case KindDeposit, KindWithdraw:
		a.prefunded(e)
	case KindSuspend, KindResume:
		a.suspended[e.Debtor] = e.Kind == KindSuspend
	case KindDirectory:
	case KindCarryOut, KindCarryIn, KindGather, KindClaim, KindHome:
		a.between(e)
	default:
		a.find(checkEntry, "kind %d is not known", e.Kind)
	}
}

func (a *Auditor) checkDirectory(e *Entry) {
	switch {
	case e.Kind == KindDirectory && e.Directory <= a.directory:
		a.find(checkDirectory, "version %d comes into force behind %d", e.Directory, a.directory)
	case e.Kind == KindDirectory:
		a.directory = e.Directory
	case e.Directory != a.directory && e.Directory != 0:
		a.find(checkDirectory, "version %d is named, %d is in force", e.Directory, a.directory)
	}
}

// find notes that a check failed at the entry being looked at.
func (a *Auditor) find(check, format string, args ...any) {
	a.findings, a.more = a.note(a.findings, a.more, Finding{check, a.at, a.batch, fmt.Sprintf(format, args...)})
}

func (a *Auditor) note(to []Finding, more int, f Finding) ([]Finding, int) {
	if len(to) >= a.opts.MaxFindings {
		return to, more + 1
	}
	return append(to, f), more
}

// add adds n to a sum, and says so if the sum is lost.
func (a *Auditor) add(to *int64, n int64) {
	sum := *to + n
	if (n > 0 && sum < *to) || (n < 0 && sum > *to) {
		a.find(checkOverflow, "%d + %d", *to, n)
	}
	*to = sum
}

// Report returns what was found up to here. It may be called again later.
func (a *Auditor) Report() Report {
	head := a.chain.Position()
	r := Report{Entries: a.entries, Batches: a.batches, Ignored: a.chain.Ignored(), Directory: a.directory}
	if head.Number > 0 {
		r.Head = hex.EncodeToString(head.Hash[:])
	}
	findings, more := len(a.findings), a.more
	a.at = 0
	a.closingChecks(&r)
	r.Findings, r.More = append([]Finding{}, a.findings...), a.more
	a.findings, a.more = a.findings[:findings], more // the closing checks are made anew the next time
	r.OK = len(r.Findings) == 0
	return r
}
