package clearing

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"github.com/tongma/tongma"
)

// Book is what the entries add up to. It is not safe for concurrent use: one
// goroutine owns it (Ledger), or one test.
type Book struct {
	next          uint64 // number of the next entry
	clock         int64  // time of the last entry
	directory     uint64
	directoryHash [32]byte
	names         []string // participants and schemes, by the number that stands in for them
	numbers       map[string]uint16
	accounts      map[accountKey]*account
	lately        lately
	blocked       map[uint16]bool // participants whose debits are blocked
	kept          map[uint16]bool // those of them that a person blocked, or who are short: the directory does not unblock them
	payments      payments
	low           uint32 // all payments before it are final
	crosses       []cross
	fees          []feeLeg
	texts         texts
	byID          *index
	byKey         *index      // by digest of asker and key
	codes         [2]*digests // spent on the day of the last entry, and on the day before
	codeDay       int64
	windows       []*window         // windows[i] has id i+1
	models        []settlementModel // in the order in which they were opened; the first has no name
	held          sums              // open holds
	disputes      []disputed
	disputeByID   map[tongma.PaymentID]uint32
	disputeByKey  map[Digest]uint32
	claims        map[uint32]claims // of disputes on payments, by number
	sponsors      map[uint16]uint16 // who settles for a sub-participant now
	memos         map[accountKey]*memo
	sponsorships  []sponsorship     // in the order of the journal
	orders        map[string]*order // proposed caps, deposits and withdrawals, by key
	open          int               // payments that are held, pending or reversing
	shards        sharding
}

type accountKey struct {
	participant uint16
	currency    tongma.Currency
}

// account is one participant's standing in one currency, in minor units.
type account struct {
	capped     bool
	cap        int64  // net debit cap in force
	directed   int64  // what the last KindCap said: the directory's cap, even if another was approved since
	capAt      uint64 // entry that set cap
	prefunding int64  // deposited and not withdrawn
	position   int64  // posted debits less posted credits, not yet settled
	reserved   int64  // sum of the open holds
}

// limit is what position and reserved together may not pass.
func (a *account) limit() int64 {
	if sum, ok := addChecked(a.cap, a.prefunding); ok {
		return sum
	}
	return math.MaxInt64
}

// payment is one movement of money. phase is the kind of its latest entry. It has no
// pointers: see store.go.
type payment struct {
	id, original             tongma.PaymentID
	key                      Digest // of asker and key
	content, code            Digest
	amount                   int64
	captured                 int64 // posted of amount
	refunded, refunding      int64
	heldAt, changedAt        int64
	expiry                   int64
	entry                    uint64
	schemeRef                textRef
	feesAt                   uint32 // of its posting
	cross                    uint32 // number of its second side and one; zero for none
	authWindow, window       uint32
	backWindow               uint32 // in which it was turned back
	debtor, creditor, scheme uint16
	asker, model             uint16
	currency                 tongma.Currency
	reason                   tongma.Reason
	op                       tongma.Operation
	phase                    Kind
	posted, late             bool
	feeCount                 uint8
	approvalSize             uint8
	approval                 [maxApproval]byte
	codeTail                 [maxTail]byte
}

// moved returns what was posted, or would be.
func (p *payment) moved() int64 {
	if p.posted {
		return p.captured
	}
	return p.amount
}

const day = 24 * 60 * 60 * 1000

// NewBook returns an empty Book, which has no window yet: KindOpen comes first.
func NewBook() *Book {
	return &Book{next: 1, names: []string{""}, numbers: map[string]uint16{"": noName}, accounts: map[accountKey]*account{}, blocked: map[uint16]bool{}, kept: map[uint16]bool{}, orders: map[string]*order{},
		disputeByID: map[tongma.PaymentID]uint32{}, disputeByKey: map[Digest]uint32{}, claims: map[uint32]claims{},
		sponsors: map[uint16]uint16{}, memos: map[accountKey]*memo{},
		byID: newIndex(), byKey: newIndex(), codes: [2]*digests{{}, {}}}
}

// Next returns the number that the next entry will have.
func (b *Book) Next() uint64 { return b.next }

// Clock returns the time of the last entry, in Unix milliseconds.
func (b *Book) Clock() int64 { return b.clock }

// Directory returns the directory version in force.
func (b *Book) Directory() uint64 { return b.directory }

// DirectoryHash returns the hash of the directory in force, as its entry has it.
func (b *Book) DirectoryHash() [32]byte { return b.directoryHash }

// Unfinished returns how many payments are held, pending or being reversed.
func (b *Book) Unfinished() int { return b.open }

func (b *Book) number(name string) uint16 {
	n, ok := b.known(name)
	if !ok {
		n = uint16(len(b.names))
		b.names = append(b.names, name)
		b.numbers[name] = n
	}
	return n
}

// hasRoom tells whether every name in e has a number, or can be given one: a
// number that wraps round would be another participant's.
func (b *Book) hasRoom(e *Entry) bool {
	if len(b.names)+5+2*len(e.Legs) <= math.MaxUint16+1 {
		return true
	}
	for i := range e.Legs {
		_, from := b.numbers[string(e.Legs[i].From)]
		if _, to := b.numbers[string(e.Legs[i].To)]; !from || !to {
			return false
		}
	}
	for _, name := range [...]string{string(e.Asker), string(e.Debtor), string(e.Creditor), string(e.Scheme), string(e.Dealer)} {
		if _, known := b.numbers[name]; !known {
			return false
		}
	}
	return true
}

func (b *Book) account(participant uint16, c tongma.Currency) *account {
	k := accountKey{participant, c}
	a := b.accountAt(k)
	if a == nil {
		a = &account{}
		b.accounts[k] = a
	}
	return a
}

// keyDigest stands for the asker and the key of an entry that begins a payment; zero
// for any other.
func (e *Entry) keyDigest() Digest {
	switch e.Kind {
	case KindHold, KindRefuse, KindTombstone:
		return keyDigest(e.Asker, e.Key)
	}
	return Digest{}
}

func keyDigest(asker tongma.ParticipantID, key string) Digest {
	var buf [128]byte
	in := append(append(append(buf[:0], asker...), 0), key...)
	sum := sha256.Sum256(in)
	return Digest(sum[:16])
}

// Verdict is what the Book says to a proposed entry. Either it is written, as e
// now stands; or not, because it changes nothing (Exists) or may not be (Reason).
// A hold that is refused is written as KindRefuse, with Reason. Exists with a
// Reason is a repeat that asks for something else than what stands.
type Verdict struct {
	Write   bool
	Exists  bool
	Crossed uint8 // a granted hold brought its debtor to 50, 75 or 90 % of its limit: the highest; else 0
	Reason  tongma.Reason
	Payment *Payment // the payment concerned, as it stands; a Ledger gives it as it stands after the entry; nil if there is none

	// Elsewhere is the shard that a new payment belongs to, if that is another: nothing
	// was written.
	Elsewhere uint16
}

// Propose decides whether e may be written, and completes it: number, time,
// windows, what it repeats of its payment, and for a hold that is not granted the
// kind and the reason. It changes nothing.
//
// Where several reasons apply, the first of these is given, always the same
// (TestReasonsHaveOneOrder):
//
//	any entry:    FieldInvalid (does not fit), NamesExhausted, FieldInvalid (legs where none may be)
//	first entry:  a repeat: Exists, with the first difference of operation, amount, currency, code, original, content;
//	              then of a hold ModelUnknown, CurrencyUnknown, AmountInvalid, CodeSpent,
//	              of a refund PaymentUnknown, NotRefundable, CurrencyMismatch, RefundExceeds, DisputeOpen;
//	              then NoAccount, ParticipantSuspended, PositionOverflow, OverCap, QuoteExpired
//	later entry:  PaymentUnknown; a repeat: Exists, of a posting with ExistsOtherAmount; StateConflict, DisputeOpen, AlreadyRefunded,
//	              StateConflict (refund reversed), TooEarly (hold not expired yet); of a posting CurrencyMismatch, AmountInvalid,
//	              FieldInvalid (legs in another currency), PositionOverflow
//	disputes:     see proposeDispute and proposeDisputeStep; sponsors: see proposeSponsor
//	rules:        see proposeRule and proposeOrder
//	windows:      see proposeWindow
//	shards:       see proposeShard; a new payment that belongs to another shard is Elsewhere, behind the repeats
func (b *Book) Propose(e *Entry, now int64) Verdict {
	return b.propose(e, e.keyDigest(), now, e.askable())
}

// propose is Propose of an entry with that keyDigest; askable is whether it may be asked
// for at all.
func (b *Book) propose(e *Entry, key Digest, now int64, askable bool) Verdict {
	e.Number, e.Time = b.next, max(now, b.clock)
	method := e.Method
	if plain := plainMethod(method); plain != method { // what is not changed is not written: it is near who asks, not near us
		e.Method = plain
	}
	if !askable || e.Time > maxNumber {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	if !b.hasRoom(e) {
		return Verdict{Reason: tongma.NamesExhausted}
	}
	if len(e.Legs) > 0 && e.Kind != KindPost {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	switch e.Kind {
	case KindHold, KindRefuse, KindTombstone:
		return b.proposeNew(e, key)
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		return b.proposeChange(e)
	case KindClose:
		return b.proposeClose(e, method)
	case KindOpen, KindInstruct, KindSettle, KindSettled, KindShort, KindCover, KindDefer, KindRecast, KindCoverAsked, KindCoverRefused, KindWord, KindWordRejected, KindRetry:
		return b.proposeWindow(e)
	case KindDispute:
		return b.proposeDispute(e)
	case KindDisputeStep:
		return b.proposeDisputeStep(e)
	case KindSponsor:
		return b.proposeSponsor(e)
	case KindCap, KindSuspend, KindResume, KindDirectory:
		return b.proposeRule(e)
	case KindCapProposed, KindCapApproved, KindCapRejected, KindDeposit, KindWithdraw:
		return b.proposeOrder(e)
	case KindCarryOut, KindCarryIn, KindGather, KindClaim, KindHome:
		return b.proposeShard(e)
	}
	return Verdict{Reason: tongma.Internal}
}

func (b *Book) proposeNew(e *Entry, key Digest) Verdict {
	if i, ok := b.findKey(key); ok {
		p := b.payments.at(i)
		return Verdict{Exists: true, Reason: p.differs(e, b), Payment: b.show(p)}
	}
	if len(b.disputes) > 0 {
		if i, ok := b.disputeByKey[key]; ok {
			return Verdict{Exists: true, Reason: tongma.ExistsOtherOperation, Payment: b.show(b.payments.at(b.disputes[i].payment))}
		}
	}
	if _, ok := b.find(e.Payment); ok || b.disputeOf(e.Payment) != nil || e.Payment.IsZero() || len(b.windows) == 0 {
		return Verdict{Reason: tongma.Internal}
	}
	if shard := b.elsewhere(e); shard != 0 {
		return Verdict{Elsewhere: shard}
	}
	try, late := e.Try, e.Until != 0 && e.Time > e.Until
	if try || e.Until != 0 {
		e.Try, e.Until = false, 0
	}
	model, known := b.modelFor(e)
	if !known {
		e.Model = ""
	}
	w := b.openOf(model)
	e.AuthWindow = w.id
	v := Verdict{Write: true}
	if e.Kind == KindHold {
		reason := tongma.ModelUnknown
		if known {
			reason, v.Crossed = b.holdable(e, w)
		}
		if late && reason == tongma.NoReason {
			reason, v.Crossed = tongma.QuoteExpired, 0
		}
		if try && reason == tongma.OverCap {
			return Verdict{Reason: reason}
		}
		if reason != tongma.NoReason {
			// The scheme never hears of it, so the code is not spent.
			e.Kind, e.Reason, e.Expiry, e.Code, e.CodeTail = KindRefuse, reason, 0, Digest{}, ""
			e.Amount = e.asked() // a repeat asks for that, whatever quote it comes with
			e.Dealer, e.Target, e.Quote, e.Rate = "", tongma.Money{}, "", ""
		}
	}
	v.Reason = e.Reason
	return v
}

// modelFor returns the model that a new payment is assigned to. A refund goes the
// way of its original.
func (b *Book) modelFor(e *Entry) (n uint16, known bool) {
	if e.Op == tongma.OpRefund {
		if i, ok := b.find(e.Original); ok {
			n = b.payments.at(i).model
			e.Model = b.models[n].name
			return n, true
		}
	}
	return b.model(e.Model)
}

// differs tells whether e asks for something else than p did under the same key:
// the first difference in the order of the catalogue, or NoReason for a plain repeat. A
// tombstone is the same as whatever comes late. Debtor and scheme are not
// compared: they follow from the code and the directory of the day.
func (p *payment) differs(e *Entry, b *Book) tongma.Reason {
	stands, asked := b.asked(p), e.asked()
	switch {
	case p.phase == KindTombstone || e.Kind == KindTombstone:
		return tongma.NoReason
	case p.op != e.Op:
		return tongma.ExistsOtherOperation
	case stands.Minor != asked.Minor:
		return tongma.ExistsOtherAmount
	case stands.Currency != asked.Currency:
		return tongma.ExistsOtherCurrency
	case p.code != (Digest{}) && e.Code != (Digest{}) && p.code != e.Code:
		return tongma.ExistsOtherCode
	case p.original != e.Original:
		return tongma.ExistsOtherOriginal
	case p.content != e.Content:
		return tongma.ExistsOtherContent
	}
	return tongma.NoReason
}

// changes lists from which phases a payment may come to which.
var changes = [256][]Kind{
	KindPend:      {KindHold},
	KindPost:      {KindHold, KindPend},
	KindVoid:      {KindHold, KindPend},
	KindExpire:    {KindHold}, // who waits for a payer has a scheme that must be told
	KindReversing: {KindHold, KindPend, KindPost},
	KindReversed:  {KindReversing},
}

func (b *Book) proposeChange(e *Entry) Verdict {
	i, ok := b.find(e.Payment)
	if !ok {
		return Verdict{Reason: tongma.PaymentUnknown}
	}
	p := b.payments.at(i)
	v := Verdict{}
	switch {
	case p.phase == e.Kind:
		v.Exists = true
		if e.Kind == KindPost && e.Amount != (tongma.Money{}) && e.Amount != (tongma.Money{Minor: p.moved(), Currency: p.currency}) {
			v.Reason = tongma.ExistsOtherAmount
		}
	case !slices.Contains(changes[e.Kind], p.phase):
		v.Reason = tongma.StateConflict
	case e.Kind == KindReversing && b.claimsOn(i).open > 0:
		v.Reason = tongma.DisputeOpen
	case e.Kind == KindReversing && p.refunded+p.refunding+b.claimsOn(i).chargedBack > 0:
		v.Reason = tongma.AlreadyRefunded
	case e.Kind == KindReversing && p.op == tongma.OpRefund:
		v.Reason = tongma.StateConflict
	case e.Kind == KindExpire && !p.expired(e.Time):
		v.Reason = tongma.TooEarly
	case e.Kind == KindPost:
		var minor int64
		if minor, v.Reason = p.capture(e.Amount); p.cross != 0 && minor != p.amount && v.Reason == tongma.NoReason {
			v.Reason = tongma.AmountInvalid // both sides are posted whole
		}
		v.Write = v.Reason == tongma.NoReason
	default:
		v.Write = true
	}
	if v.Write {
		b.complete(e, p)
		if v.Reason = b.chargeable(e, p); v.Reason != tongma.NoReason {
			v.Write = false
		}
	}
	if !v.Write {
		v.Payment = b.show(p)
	}
	return v
}

// expired tells whether the hold's time is over. One without an end never expires.
func (p *payment) expired(at int64) bool { return p.expiry != 0 && at > p.expiry }

// capture returns how much of the hold is posted if given is asked for: all of it
// if nothing is said, never more. What is not posted is released by the same entry.
func (p *payment) capture(given tongma.Money) (int64, tongma.Reason) {
	switch {
	case given == (tongma.Money{}):
		return p.amount, tongma.NoReason
	case given.Currency != p.currency:
		return 0, tongma.CurrencyMismatch
	case given.Minor <= 0 || given.Minor > p.amount:
		return 0, tongma.AmountInvalid
	}
	return given.Minor, tongma.NoReason
}

// complete repeats in the entry what the payment is, so that each line of the
// journal can be read, and added up, by itself. The fees that a refund or a
// reversal gives back follow from those that were taken: they are the Book's to
// say, since only it knows in which order refunds are posted.
func (b *Book) complete(e *Entry, p *payment) {
	e.Op, e.Original = p.op, p.original
	e.Asker, e.Debtor, e.Creditor = tongma.ParticipantID(b.names[p.asker]), tongma.ParticipantID(b.names[p.debtor]), tongma.ParticipantID(b.names[p.creditor])
	e.Scheme = tongma.SchemeID(b.names[p.scheme])
	e.Model = ""
	minor := p.moved()
	switch {
	case e.Kind == KindPost:
		minor, _ = p.capture(e.Amount)
		e.Window = b.openOf(p.model).id
		if p.op == tongma.OpRefund {
			of, _ := b.find(p.original)
			e.Legs = b.returned(of, minor)
		}
	case e.Kind == KindReversed && p.posted:
		e.Window = b.openOf(p.model).id
		e.Legs = turned(b.legs(p))
	case e.Kind == KindExpire && e.Reason == tongma.NoReason:
		e.Reason = tongma.HoldExpired
	}
	e.Amount = tongma.Money{Minor: minor, Currency: p.currency}
	e.Dealer, e.Target, e.Quote, e.Rate = "", tongma.Money{}, "", ""
	if x := b.crossOf(p); x != nil {
		e.Dealer, e.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: x.target, Currency: x.currency}
	}
}

// standing returns the account that somebody settles through as it stands, without
// making it.
func (b *Book) standing(who tongma.ParticipantID, c tongma.Currency) account {
	if n, ok := b.known(string(who)); ok {
		if a := b.accountAt(accountKey{b.settler(n), c}); a != nil {
			return *a
		}
	}
	return account{}
}

// Apply makes e part of the Book. It is the only place where a position changes.
// An error means that e breaks the rules of the Book: the journal is damaged or
// the writer is, and nothing more may be written.
func (b *Book) Apply(e *Entry) error { return b.apply(e, e.keyDigest()) }

// apply is Apply of an entry with that keyDigest.
func (b *Book) apply(e *Entry, key Digest) error {
	if e.Number != b.next {
		return b.broken(e, fmt.Sprintf("entry %d where %d was due", e.Number, b.next))
	}
	if e.Time < b.clock {
		return b.broken(e, "time went back")
	}
	var err error
	switch e.Kind {
	case KindHold, KindRefuse, KindTombstone:
		err = b.applyNew(e, key)
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		err = b.applyChange(e)
	case KindOpen, KindClose, KindInstruct, KindSettle, KindSettled, KindShort, KindCover, KindDefer, KindRecast, KindCoverAsked, KindCoverRefused, KindWord, KindWordRejected, KindRetry:
		err = b.applyWindow(e)
	case KindCap:
		a := b.account(b.number(string(e.Debtor)), e.Amount.Currency)
		a.capped, a.cap, a.directed, a.capAt = true, e.Amount.Minor, e.Amount.Minor, e.Number
	case KindCapProposed, KindCapApproved, KindCapRejected, KindDeposit, KindWithdraw:
		err = b.applyOrder(e)
	case KindDispute, KindDisputeStep:
		err = b.applyDispute(e)
	case KindSponsor:
		err = b.applySponsor(e)
	case KindSuspend, KindResume:
		n := b.number(string(e.Debtor))
		b.blocked[n], b.kept[n] = e.Kind == KindSuspend, e.Kind == KindSuspend && e.Maker != ""
		b.mirror(e, n)
	case KindDirectory:
		b.directory, b.directoryHash = e.Directory, e.Hash
	case KindCarryOut, KindCarryIn, KindGather, KindClaim, KindHome:
		err = b.applyShard(e)
	default:
		err = b.broken(e, "kind "+e.Kind.String())
	}
	if err != nil {
		return err
	}
	b.next, b.clock = e.Number+1, e.Time
	return nil
}

func (b *Book) broken(e *Entry, detail string) error {
	return &tongma.Error{Op: fmt.Sprintf("clearing.Apply: entry %d (%s)", e.Number, e.Kind), Reason: tongma.Internal, Detail: detail}
}

func (b *Book) applyNew(e *Entry, key Digest) error {
	model, known := b.model(e.Model)
	if !known || b.openOf(model).id != e.AuthWindow {
		return b.broken(e, "names a window that is not the open one")
	}
	if b.elsewhere(e) != 0 {
		return b.broken(e, "belongs to another shard")
	}
	if _, twice := b.find(e.Payment); twice || b.disputeOf(e.Payment) != nil {
		return b.broken(e, "payment id used before")
	}
	if _, twice := b.findKey(key); twice {
		return b.broken(e, "key used before")
	}
	p := payment{key: key, id: e.Payment, original: e.Original, content: e.Content, code: e.Code, amount: e.Amount.Minor,
		currency: e.Amount.Currency, heldAt: e.Time, changedAt: e.Time, expiry: e.Expiry, entry: e.Number,
		authWindow: uint32(e.AuthWindow), debtor: b.number(string(e.Debtor)), creditor: b.number(string(e.Creditor)),
		scheme: b.number(string(e.Scheme)), asker: b.number(string(e.Asker)), model: model, reason: e.Reason, op: e.Op, phase: e.Kind}
	copy(p.codeTail[:], e.CodeTail)
	if e.Kind == KindHold {
		if again := *e; e.Dealer != "" || e.Op == tongma.OpRefund {
			if reason := b.exchangeable(&again); reason != tongma.NoReason || again.Dealer != e.Dealer || again.Target != e.Target {
				return b.broken(e, "the two amounts do not go together")
			}
		}
		if p.op == tongma.OpRefund {
			i, ok := b.find(p.original)
			if !ok || b.payments.at(i).model != model {
				return b.broken(e, "refund of nothing, or by another model")
			}
			b.payments.at(i).refunding += p.amount
			if x := b.crossOf(b.payments.at(i)); x != nil {
				x.refunding += e.Target.Minor
			}
		}
		b.spend(e)
		b.keepCross(&p, e)
		b.hold(&p, p.amount)
		b.open++
	}
	at := b.payments.add(&p)
	b.byID.put((*[16]byte)(&p.id), at)
	b.byKey.put((*[16]byte)(&p.key), at)
	b.rest(at)
	return nil
}

// hold adds to what is held for a payment, or releases it.
func (b *Book) hold(p *payment, minor int64) {
	b.holdOne(p.debtor, p.currency, minor)
	if x := b.crossOf(p); x != nil {
		if minor < 0 {
			b.holdOne(x.dealer, x.currency, -x.target)
		} else {
			b.holdOne(x.dealer, x.currency, x.target)
		}
	}
}

func (b *Book) holdOne(n uint16, c tongma.Currency, minor int64) {
	b.account(b.settler(n), c).reserved += minor
	if m := b.memoOf(n, c); m != nil {
		m.reserved += minor
	}
	*b.held.of(c) += minor
}

// spend remembers a payer's code for one to two days of entry time, which is far
// longer than any wallet lets one live.
func (b *Book) spend(e *Entry) {
	if d := e.Time / day; d != b.codeDay {
		if d == b.codeDay+1 {
			b.codes[1] = b.codes[0]
		} else {
			b.codes[1] = &digests{}
		}
		b.codes[0], b.codeDay = &digests{}, d
	}
	if e.Code != (Digest{}) {
		b.codes[0].put(e.Code)
	}
}

func (b *Book) applyChange(e *Entry) error {
	i, ok := b.find(e.Payment)
	if !ok || !slices.Contains(changes[e.Kind], b.payments.at(i).phase) {
		return b.broken(e, "payment unknown or in another phase")
	}
	p := b.payments.at(i)
	w := b.openOf(p.model)
	if moves := e.Kind == KindPost || (e.Kind == KindReversed && p.posted); moves && e.Window != w.id {
		return b.broken(e, "posted into a window that is not the open one")
	}
	if fault := b.wrongLegs(e, p); fault != "" {
		return b.broken(e, fault)
	}
	switch e.Kind {
	case KindPost:
		minor, reason := p.capture(e.Amount)
		if reason != tongma.NoReason || (p.cross != 0 && minor != p.amount) {
			return b.broken(e, "posted is not of what is held")
		}
		b.hold(p, -p.amount)
		p.posted, p.captured, p.window = true, minor, uint32(e.Window)
		b.move(w, p, false)
		w.put(i, e.Number)
		b.keepFees(p, e.Legs)
		b.settleRefund(p, minor)
		b.open--
	case KindExpire:
		if !p.expired(e.Time) {
			return b.broken(e, "expired before its time")
		}
		b.hold(p, -p.amount)
		b.settleRefund(p, 0)
		b.open--
	case KindVoid:
		b.hold(p, -p.amount)
		b.settleRefund(p, 0)
		if e.KeepCode {
			b.codes[0].remove(p.code)
			b.codes[1].remove(p.code)
		}
		b.open--
	case KindReversing:
		if p.posted {
			b.open++
		}
	case KindReversed:
		if p.posted {
			b.move(w, p, true)
			p.backWindow = uint32(w.id)
			w.put(i|itemBack, e.Number)
		} else {
			b.hold(p, -p.amount)
		}
		b.open--
	}
	if b.account(b.settler(p.debtor), p.currency).reserved < 0 {
		return b.broken(e, "holds below zero")
	}
	for i := range e.Legs {
		b.charge(w, &e.Legs[i])
	}
	p.phase, p.entry, p.changedAt = e.Kind, e.Number, e.Time
	p.late = p.late || e.Late
	if e.Reason != tongma.NoReason {
		p.reason = e.Reason
	}
	if e.SchemeRef != "" {
		p.schemeRef = b.texts.put(e.SchemeRef)
	}
	if e.Approval != "" {
		p.approval = [maxApproval]byte{}
		p.approvalSize = uint8(copy(p.approval[:], e.Approval))
	}
	b.rest(i)
	return nil
}

// rest keeps the mark below which all payments are final.
func (b *Book) rest(i uint32) {
	if !b.payments.at(i).final() {
		b.low = min(b.low, i)
	}
	for int(b.low) < b.payments.len() && b.payments.at(b.low).final() {
		b.low++
	}
}

// final tells whether the payment will not change unless someone asks.
func (p *payment) final() bool {
	return p.phase != KindHold && p.phase != KindPend && p.phase != KindReversing
}

// wrongLegs says what is wrong with the fee legs of an entry that changes p; ""
// if nothing is. What a refund or a reversal gives back has to be what was taken.
func (b *Book) wrongLegs(e *Entry, p *payment) string {
	var due []Leg
	switch {
	case e.Kind == KindPost && p.op != tongma.OpRefund:
		if !legsFit(e.Legs) || slices.ContainsFunc(e.Legs, func(l Leg) bool { return l.Amount.Currency != b.feeCurrency(p) }) {
			return "fee legs"
		}
		return ""
	case e.Kind == KindPost:
		if minor, _ := p.capture(e.Amount); minor > 0 {
			of, _ := b.find(p.original)
			due = b.returned(of, minor)
		}
	case e.Kind == KindReversed && p.posted:
		due = turned(b.legs(p))
	}
	if !slices.Equal(e.Legs, due) {
		return "fee legs are not those that go back"
	}
	return ""
}

// settleRefund takes a refund out of what its original has under way, and adds
// what of it was paid.
func (b *Book) settleRefund(p *payment, paid int64) {
	if p.op == tongma.OpRefund {
		i, _ := b.find(p.original)
		original := b.payments.at(i)
		original.refunding -= p.amount
		original.refunded += paid
		if x, own := b.crossOf(original), b.crossOf(p); x != nil && own != nil {
			x.refunding -= own.target
			if paid > 0 {
				x.refunded += own.target
			}
		}
	}
}

// move posts what p pays in an open window, or turns it back.
func (b *Book) move(w *window, p *payment, back bool) {
	if p.cross != 0 {
		b.movements(p, back, func(m moving) {
			if !m.fee {
				w.add(b.entered(w, m.from, m.to, m.currency, m.minor), m.minor)
			}
		})
		return
	}
	from, to := p.debtor, p.creditor
	if back {
		from, to = to, from
	}
	w.add(b.entered(w, from, to, p.currency, p.moved()), p.moved())
}

// charge posts a fee, in an open window.
func (b *Book) charge(w *window, l *Leg) {
	from, to := b.number(string(l.From)), b.number(string(l.To))
	w.addFee(b.entered(w, from, to, l.Amount.Currency, l.Amount.Minor), l.Amount.Minor)
}

// entered moves the positions of those who settle for the two, and the memo accounts
// of the two themselves, and returns between whom it counts.
func (b *Book) entered(w *window, from, to uint16, c tongma.Currency, minor int64) flowKey {
	k := flowKey{b.settler(from), b.settler(to), c}
	b.account(k.debtor, c).position += minor
	b.account(k.creditor, c).position -= minor
	b.note(w, from, to, c, minor, false)
	return k
}
