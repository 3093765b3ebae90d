package clearing

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// A scope is a small world that is searched whole: who is there, and all that may
// be asked. Every sequence of its letters is followed, up to a depth, and states
// that nobody could tell apart are followed once.
type scope struct {
	name     string
	rules    []Entry // written before the search
	letters  []letter
	payments uint64 // ids 1 to so many
	depth    int
}

// A letter is one thing that may be asked. Its entry may depend on how the Book
// stands; false if it cannot even be asked there.
type letter struct {
	name string
	ask  func(b *Book) (e Entry, now int64, ok bool)
}

// engine is what is searched: a Book; or, in TestBugBank, one with a bug put back.
type engine struct {
	propose func(b *Book, e *Entry, now int64) Verdict
	apply   func(b *Book, e *Entry) error
	replay  func(b *Book, e *Entry) error // what a start does with what the journal has
}

var sound = engine{(*Book).Propose, (*Book).Apply, (*Book).Apply}

// Rules of the search, by id.
const (
	ruleApply    = "apply"
	ruleAsking   = "asking"
	ruleSame     = "same-answer"
	ruleEnd      = "end"
	ruleLimit    = "limit"
	ruleReserved = "reserved"
	rulePosition = "position"
	ruleZero     = "zero-sum"
	ruleWindow   = "window"
	ruleNet      = "net"
	ruleRefund   = "refund"
	ruleSettled  = "settled"
	ruleDispute  = "dispute"
	ruleReplay   = "replay"
	ruleSnapshot = "snapshot"
	ruleWindUp   = "wind-up"
	ruleFigures  = "audit-agrees"
)

var searchRules = []AuditCheck{
	{ruleApply, "The Book applies whatever it has proposed."},
	{ruleAsking, "Asking changes nothing."},
	{ruleSame, "The same request under the same key gets the same payment; another request under it is told so, and neither is written."},
	{ruleEnd, "No end of a payment is passed; a posting is of what is held, once, and no hold is dropped before its time."},
	{ruleLimit, "At every hold, position + reserved + amount was within the debtor's limit as of that entry, and the debtor not suspended."},
	{ruleReserved, "Reserved amounts are the sum of the open holds, and never less than zero."},
	{rulePosition, "Positions are the sum of all postings, fees and confirmed legs."},
	{ruleZero, "All positions of a currency, with what the agent holds, add up to zero."},
	{ruleWindow, "Every posting is in exactly one window: the one open at its entry."},
	{ruleNet, "A net sheet is what its items add up to, and what the rows of its matrix less the columns are; it adds up to zero."},
	{ruleRefund, "Refunds, those under way included, never pass what was captured."},
	{ruleDispute, "Refunds, disputes that are open and chargebacks together never pass what was captured; a dispute goes on by whose turn it is, in time, and pays at most once."},
	{ruleSettled, "Of a settled window, the confirmed debits are the confirmed credits, and both are the sheet."},
	{ruleReplay, "A crash, and a replay of the journal's bytes, give the same Book."},
	{ruleSnapshot, "A snapshot read back is the same Book, and goes on as the Book would (held in one state of 32)."},
	{ruleWindUp, "From every state all payments can be ended and all windows settled; then nothing is held and nobody owes."},
	{ruleFigures, "The audit, which shares no arithmetic with the Book, comes to the same figures."},
}

// search is a breadth-first search of a scope. Workers share seen and nodes.
type search struct {
	scope
	engine
	depth int

	mu          sync.Mutex
	nodes       []node
	seen        map[[16]byte]struct{}
	found       map[string]string // rule: the first sequence of letters that breaks it
	written     map[Kind]int
	transitions int
	refused     int
	deepest     int
}

// node is a state, as the way to it: the state before, and the bytes of one entry.
type node struct {
	before int32
	letter int16
	entry  []byte
}

func newSearch(sc scope, en engine, depth int) *search {
	s := &search{scope: sc, engine: en, depth: depth, seen: map[[16]byte]struct{}{}, found: map[string]string{}, written: map[Kind]int{}}
	b := NewBook()
	for i := range s.rules {
		e := s.rules[i]
		if v := b.Propose(&e, startMillis); !v.Write {
			panic("the scope cannot be set up: " + v.Reason.String())
		}
		if err := b.Apply(&e); err != nil {
			panic(err)
		}
		s.rules[i] = e
	}
	s.nodes = []node{{before: -1}}
	s.seen[s.digest(b)] = struct{}{}
	return s
}

// run searches level by level, so that what it finds first is shortest.
func (s *search) run(workers int) {
	level := []int32{0}
	for depth := 0; depth < s.depth && len(level) > 0; depth++ {
		s.deepest = depth + 1
		from, work := len(s.nodes), make(chan int32)
		var wait sync.WaitGroup
		for range workers {
			wait.Go(func() {
				for at := range work {
					s.expand(at)
				}
			})
		}
		for _, at := range level {
			work <- at
		}
		close(work)
		wait.Wait()
		level = level[:0]
		for at := from; at < len(s.nodes); at++ {
			level = append(level, int32(at))
		}
	}
}

// path returns the entries that lead to a node, read back from their bytes, and
// the letters.
func (s *search) path(at int32) (es []Entry, letters []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.nodes[at].before >= 0; at = s.nodes[at].before {
		e, err := ParseEntry(s.nodes[at].entry)
		if err != nil {
			panic(err) // AppendTo wrote it
		}
		es, letters = append(es, e), append(letters, s.letters[s.nodes[at].letter].name)
	}
	es = slices.Grow(es, len(s.rules)+32)
	for i := len(s.rules) - 1; i >= 0; i-- {
		es = append(es, s.rules[i])
	}
	slices.Reverse(es)
	slices.Reverse(letters)
	return es, letters
}

func built(apply func(*Book, *Entry) error, es []Entry) (*Book, error) {
	b := NewBook()
	for i := range es {
		e := es[i]
		if err := apply(b, &e); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (s *search) broken(rule string, letters []string, last string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.found[rule]; !known {
		s.found[rule] = strings.Join(append(slices.Clip(letters), last), ", ")
	}
}

// expand asks all letters at a node.
func (s *search) expand(at int32) {
	es, letters := s.path(at)
	b, err := built(s.apply, es)
	if err != nil {
		panic(err) // it could be applied when the node was made
	}
	was, before := s.canon(b, true), clerkOf(es)
	taken, refused := 0, 0
	for i, l := range s.letters {
		e, now, ok := l.ask(b)
		if !ok {
			continue
		}
		stands, known := b.PaymentByKey(e.Asker, e.Key)
		first := e.Kind == KindHold || e.Kind == KindTombstone
		v := s.propose(b, &e, now)
		taken++
		if first && known && !sameAnswer(&stands, &e, v) {
			s.broken(ruleSame, letters, l.name)
		}
		if !v.Write {
			refused++
			continue
		}
		faults := before.may(&e)
		for _, rule := range faults {
			s.broken(rule, letters, l.name)
		}
		s.follow(at, i, es, &e, letters, len(faults) > 0)
	}
	if now := s.canon(b, true); string(now) != string(was) {
		s.broken(ruleAsking, letters, "ask everything")
	}
	s.mu.Lock()
	s.transitions += taken
	s.refused += refused
	s.mu.Unlock()
}

// sameAnswer tells whether a request under a key that is used up was answered
// with what stands under it, and, if it is another request, told so.
func sameAnswer(stands *Payment, e *Entry, v Verdict) bool {
	other := e.Amount != stands.Amount && e.Kind != KindTombstone && stands.Phase != KindTombstone
	return !v.Write && v.Exists && v.Payment.ID == stands.ID && other == (v.Reason != tongma.NoReason)
}

// follow applies what was proposed; a state that was not seen before is checked,
// and followed on unless something is broken there.
func (s *search) follow(at int32, letter int, es []Entry, e *Entry, letters []string, faulty bool) {
	name := s.letters[letter].name
	data := e.AppendTo(nil)
	es = append(slices.Clip(es), *e)
	live, err := built(s.apply, es)
	if err != nil {
		s.broken(ruleApply, letters, name)
		return
	}
	digest := s.digest(live)
	s.mu.Lock()
	s.written[e.Kind]++
	_, known := s.seen[digest]
	s.seen[digest] = struct{}{}
	s.mu.Unlock()
	if known {
		return
	}
	faults := s.inspect(live, es)
	for _, rule := range faults {
		s.broken(rule, letters, name)
	}
	if faulty = faulty || len(faults) > 0; faulty {
		return
	}
	s.mu.Lock()
	s.nodes = append(s.nodes, node{at, int16(letter), data})
	s.mu.Unlock()
}

// inspect returns the rules that a state breaks.
func (s *search) inspect(live *Book, es []Entry) (faults []string) {
	faults = clerkOf(es).check(live)
	again, err := s.reopened(es)
	if err != nil || string(s.canon(again, true)) != string(s.canon(live, true)) {
		faults = append(faults, ruleReplay)
	}
	if digest := s.digest(live); digest[0]%32 == 0 {
		if read, _, err := ParseSnapshot(live.AppendSnapshot(nil, behind(live))); err != nil || string(s.canon(read, true)) != string(s.canon(live, true)) {
			faults = append(faults, ruleSnapshot)
		} else if _, over := s.windUp(read, es); !over {
			faults = append(faults, ruleSnapshot)
		}
	}
	a := NewAuditor(AuditOptions{})
	for i := range es {
		a.Entry(&es[i])
	}
	faults = append(faults, auditFaults(a.Report(), live)...)
	done := len(es)
	es, over := s.windUp(live, es)
	if !over {
		return append(faults, ruleWindUp)
	}
	for i := done; i < len(es); i++ {
		a.Entry(&es[i])
	}
	return append(faults, auditFaults(a.Report(), live)...)
}

// reopened is the Book after a crash: made of the canonical bytes of the journal.
func (s *search) reopened(es []Entry) (*Book, error) {
	b := NewBook()
	var buf [512]byte
	for i := range es {
		e, err := ParseEntry(es[i].AppendTo(buf[:0]))
		if err == nil {
			err = s.replay(b, &e)
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// windUp ends every payment and settles every window of b, and tells whether that
// could be done, and left nothing.
func (s *search) windUp(b *Book, es []Entry) ([]Entry, bool) {
	es = slices.Clip(es)
	must := func(e Entry) bool {
		v := s.propose(b, &e, b.Clock())
		if !v.Write || s.apply(b, &e) != nil {
			return false
		}
		es = append(es, e)
		return true
	}
	for _, d := range b.Disputes(func(d *Dispute) bool { return d.Stage.Open() }) {
		end := Entry{Kind: KindDisputeStep, Payment: d.ID, Stage: dispute.Accepted, Asker: d.Respondent}
		switch {
		case d.Stage == dispute.UpholdProposed:
			end.Stage, end.Asker, end.Checker = dispute.Upheld, "", "cy"
		case d.Stage == dispute.RejectProposed:
			end.Stage, end.Asker, end.Checker = dispute.Rejected, "", "cy"
		case d.Deadline != 0 && b.Clock() > d.Deadline && d.Stage == dispute.Represented:
			end.Stage, end.Asker = dispute.DeemedWithdrawn, ""
		case d.Deadline != 0 && b.Clock() > d.Deadline && d.Stage.Timed():
			end.Stage, end.Asker = dispute.DeemedAccepted, ""
		}
		if !must(end) {
			return es, false
		}
	}
	for _, p := range b.OpenPayments() {
		end := Entry{Kind: KindVoid, Payment: p.ID}
		if p.Phase == KindReversing {
			end.Kind = KindReversed
		}
		if !must(end) {
			return es, false
		}
	}
	for _, m := range b.Models() {
		if !must(Entry{Kind: KindClose, Model: m.Name}) {
			return es, false
		}
	}
	for _, sheet := range b.Sheets(0) {
		if sheet.Recasting {
			if !must(Entry{Kind: KindRecast, Window: sheet.Window}) {
				return es, false
			}
			sheet, _ = b.Sheet(sheet.Window)
		}
		if sheet.State == WindowClosed && !must(Entry{Kind: KindInstruct, Window: sheet.Window}) {
			return es, false
		}
		if sheet, _ = b.Sheet(sheet.Window); sheet.State == WindowOpen || sheet.State == WindowSettled {
			continue
		}
		for _, asked := range b.Asked(sheet.Window) { // nothing else of the leg is booked before
			if !must(Entry{Kind: KindCoverRefused, Window: sheet.Window, Debtor: asked.Debtor, Creditor: asked.Payer, Asker: asked.Creditor, Amount: asked.Amount, SchemeRef: asked.Instruction}) {
				return es, false
			}
		}
		for _, again := range b.Retried(sheet.Window) { // nor before a debit that was tried again
			if again.Debtor != "" && !must(Entry{Kind: KindSettle, Window: sheet.Window, Debtor: again.Debtor, Creditor: again.Creditor, Amount: again.Amount, SchemeRef: again.Instruction}) {
				return es, false
			}
		}
		sheet, _ = b.Sheet(sheet.Window)
		for _, in := range Instruct(sheet) {
			if !b.Confirmed(&in) && !must(in.Confirm()) {
				return es, false
			}
		}
		if !must(Entry{Kind: KindSettled, Window: sheet.Window}) {
			return es, false
		}
	}
	return es, b.Unfinished() == 0 && !slices.ContainsFunc(b.Positions(), func(p Position) bool { return p.Position != 0 || p.Reserved != 0 })
}

// auditFaults returns "audit: check" for each check that found something, and
// ruleFigures if the report's figures are not those of the Book.
func auditFaults(r Report, b *Book) (faults []string) {
	for _, f := range r.Findings {
		if name := "audit: " + f.Check; !slices.Contains(faults, name) {
			faults = append(faults, name)
		}
	}
	audited := map[[2]string]AuditPosition{}
	for _, p := range r.Positions {
		audited[[2]string{p.Participant, p.Currency}] = p
	}
	sheets := b.Sheets(0)
	agrees := len(r.Windows) == len(sheets)
	for _, p := range b.Positions() {
		a := audited[[2]string{string(p.Participant), p.Currency.Code()}]
		agrees = agrees && a.Position == p.Position && a.Reserved == p.Reserved && (a.Cap != nil) == p.Capped &&
			(a.Cap == nil || *a.Cap == p.Cap) && a.Suspended == p.Suspended && a.Prefunded == p.Prefunded &&
			a.Sponsor == string(p.Sponsor) && a.Memo == p.MemoPosition && a.MemoHeld == p.MemoReserved
	}
	for i := 0; agrees && i < len(sheets); i++ {
		agrees = r.Windows[i].State == sheets[i].Progress.String() && len(r.Windows[i].Nets) == len(sheets[i].Nets)
		for j := 0; agrees && j < len(sheets[i].Nets); j++ {
			n := sheets[i].Nets[j]
			agrees = r.Windows[i].Nets[j] == AuditNet{string(n.Participant), n.Currency.Code(), n.Net}
		}
	}
	if !agrees {
		faults = append(faults, ruleFigures)
	}
	return faults
}

// digest stands for all states that nobody could tell apart by what they say or
// by what becomes of them.
func (s *search) digest(b *Book) [16]byte {
	sum := sha256.Sum256(s.canon(b, false))
	return [16]byte(sum[:])
}

// canon writes down all that the Book shows. Entry numbers, times and hashes say
// how it came there, and are left out unless exact is asked for; of a hold that
// may expire, the time that is left stays.
func (s *search) canon(b *Book, exact bool) []byte {
	out := make([]byte, 0, 1024)
	number := func(ns ...int64) {
		for _, n := range ns {
			out = append(strconv.AppendInt(out, n, 36), ' ')
		}
	}
	yes := func(bs ...bool) {
		for _, on := range bs {
			out = strconv.AppendBool(out, on)
		}
	}
	for _, p := range b.Positions() {
		a := b.accounts[accountKey{b.numbers[string(p.Participant)], p.Currency}]
		out = append(append(out, p.Participant...), ' ')
		number(int64(p.Currency), p.Position, p.Reserved, p.Cap, p.Prefunded, a.directed, p.MemoPosition, p.MemoReserved)
		out = append(append(out, p.Sponsor...), ' ')
		yes(p.Capped, p.Suspended)
	}
	for n := range s.payments {
		p, ok := b.Payment(testID(n + 1))
		if !ok {
			out = append(out, '-')
			continue
		}
		left := int64(-1)
		if p.Phase == KindHold && p.Expiry != 0 {
			left = max(p.Expiry-b.Clock(), 0)
		}
		number(int64(p.Phase), int64(p.Op), p.Captured, p.Refunded, p.Refunding, p.Disputed, p.ChargedBack, p.Target.Minor, int64(p.Reason), int64(p.AuthWindow), int64(p.Window), left, int64(len(p.Legs)))
		yes(p.Posted, p.Late)
		if exact {
			number(int64(p.Entry), p.HeldAt, p.ChangedAt, p.Expiry, p.Amount.Minor, int64(p.Amount.Currency))
			out = fmt.Appendf(append(append(out, p.ID[:]...), p.Original[:]...), "%s %s %s %s %s %s %s", p.Asker, p.Debtor, p.Creditor, p.Scheme, p.SchemeRef, p.Approval, p.CodeTail)
			for _, l := range p.Legs {
				out = append(append(append(append(out, l.From...), '>'), l.To...), ' ')
				number(int64(l.Kind), int64(l.OnRefund), l.Amount.Minor, int64(l.Amount.Currency))
			}
		}
	}
	for _, w := range b.windows {
		sheet := b.sheet(w)
		number(int64(sheet.Window), int64(sheet.State), int64(sheet.Progress), int64(w.model), int64(w.method), int64(len(w.legs)))
		yes(sheet.Recasting)
		for i, list := range [][]Word{b.Words(w.id), b.Asked(w.id), b.Refusals(w.id), b.Retried(w.id)} {
			for _, x := range list {
				if x.Kind == KindShort && i == 2 && !exact {
					continue
				}
				number(int64(i), int64(x.Kind), x.Amount.Minor)
				out = append(append(append(append(out, x.Payer...), '<'), x.Debtor...), x.Instruction...)
			}
		}
		for _, d := range w.debts {
			yes(d.gone)
			number(int64(d.deferredTo))
			if exact {
				out = append(out, d.ref...)
			}
		}
		for _, o := range sheet.Matrix {
			out = append(append(append(append(out, o.Debtor...), '>'), o.Creditor...), ' ')
			number(int64(o.Currency), o.Gross, o.Count, o.Fees)
		}
		for _, n := range sheet.Nets {
			number(n.Net)
		}
		for _, l := range sheet.Legs {
			out = append(append(append(append(out, l.Debtor...), '>'), l.Creditor...), ' ')
			number(int64(l.Currency), l.Net, l.Settled, l.Due)
			yes(l.Short)
			if exact {
				number(int64(l.Tries))
			}
		}
		if exact {
			b.WindowPayments(sheet.Window, func(it WindowItem) bool {
				number(int64(it.Entry), int64(it.Kind), it.Amount.Minor, int64(it.DeferredTo))
				return true
			})
			number(int64(sheet.Opened), int64(sheet.Closed), sheet.OpenedAt, sheet.ClosedAt)
			out = append(out, sheet.Hash[:]...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.orders)) {
		c, _ := b.CapProposal(key)
		out = append(out, key...)
		number(int64(b.orders[key].state))
		yes(c.Stale)
	}
	for _, d := range b.Disputes(func(*Dispute) bool { return true }) {
		number(int64(d.Stage), d.Amount.Minor, int64(d.AuthWindow), int64(d.Window), max(d.Deadline-b.Clock(), -1))
		out = append(append(append(out, d.Maker...), ' '), d.Checker...)
		if exact {
			number(int64(d.Entry), d.RaisedAt, d.ChangedAt, d.Deadline)
		}
	}
	yes(b.spent(digestOf("c1")))
	number(int64(b.Unfinished()))
	if exact {
		number(int64(b.Next()), b.Clock(), int64(b.Directory()))
	}
	return out
}

// scopes are the worlds that are searched. They share the windows, and differ in
// what else may happen: payments that cancel each other out, in two currencies,
// with a code and a time; refunds of parts; changing rules; a window that is
// being settled while its payments are turned back.
func scopes() []scope {
	open := func(es ...Entry) []Entry { return append([]Entry{{Kind: KindOpen}}, es...) }
	yen := capOf("bank-a", 100)
	yen.Amount.Currency = tongma.JPY
	everyone := []tongma.ParticipantID{"bank-a", "bank-c", "shop-b"}

	first, back, third := hold(1, "bank-a", "shop-b", 60), hold(2, "shop-b", "bank-a", 60), hold(3, "bank-a", "bank-c", 50)
	first.Expiry, first.Code, third.Code = 1, digestOf("c1"), digestOf("c1")
	third.Expiry, third.Amount.Currency = 1, tongma.JPY

	paid := hold(1, "bank-a", "shop-b", 60)
	refund := func(n uint64, minor int64) Entry {
		e := hold(n, "shop-b", "bank-a", minor)
		e.Op, e.Original = tongma.OpRefund, testID(1)
		return e
	}
	post := func(n uint64, legs ...Leg) Entry { return Entry{Kind: KindPost, Payment: testID(n), Legs: legs} }
	of := func(e Entry, model string) Entry { e.Model = model; return e }
	sponsor := func(sub, sponsor tongma.ParticipantID) Entry {
		return Entry{Kind: KindSponsor, Debtor: sub, Creditor: sponsor}
	}
	back3 := hold(3, "shop-b", "sub", 40)
	back3.Op, back3.Original = tongma.OpRefund, testID(1)
	yensOf := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.JPY} }
	yens := func(who tongma.ParticipantID, minor int64) Entry {
		e := capOf(who, 0)
		e.Amount = yensOf(minor)
		return e
	}
	dear2 := hold(1, "bank-a", "shop-b", 60)
	dear2.Dealer, dear2.Target, dear2.Quote, dear2.Rate, dear2.Expiry = "fx", yensOf(9_315), "q-1", "CNY/JPY 15525 source", 1
	yenBack := func(n uint64, minor int64) Entry {
		e := hold(n, "shop-b", "bank-a", 0)
		e.Op, e.Original, e.Amount = tongma.OpRefund, testID(1), yensOf(minor)
		return e
	}
	dear := hold(2, "bank-a", "bank-c", 60)
	rule := func(kind Kind, key, maker, checker string, minor int64) Entry {
		e := Entry{Kind: kind, Key: key, Maker: maker, Checker: checker, Debtor: "bank-a", Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}}
		return e
	}
	return []scope{
		{"payments", open(capOf("bank-a", 100), capOf("shop-b", 50), yen), letters(pays(first, 1, 25), pays(back, 2, 60),
			pays(third, 3, 20), settles(2, everyone, tongma.CNY, tongma.JPY)), 3, 8},
		{"refunds", open(capOf("bank-a", 100), capOf("shop-b", 100)), letters(
			pays(paid, 1, 45, fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-c", 7), fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "bank-c", 3)),
			pays(refund(2, 40), 2, 15), pays(refund(3, 30), 3, 10), settles(2, everyone, tongma.CNY)), 3, 8},
		{"rules", open(capOf("bank-a", 100), capOf("shop-b", 50)), letters(pays(paid, 1, 20), pays(dear, 2, 60),
			[]letter{always("cap of 50", 0, capOf("bank-a", 50)), always("cap of 100", 0, capOf("bank-a", 100)),
				always("suspend", 0, Entry{Kind: KindSuspend, Debtor: "bank-a"}), always("resume", 0, Entry{Kind: KindResume, Debtor: "bank-a"}),
				always("propose cap", 0, rule(KindCapProposed, "cap", "ann", "", 70)), always("approve cap", 0, Entry{Kind: KindCapApproved, Key: "cap", Checker: "bob"}),
				always("approve own cap", 0, Entry{Kind: KindCapApproved, Key: "cap", Checker: "Ann "}),
				always("reject cap", 0, Entry{Kind: KindCapRejected, Key: "cap", Checker: "bob"}),
				always("deposit", 0, rule(KindDeposit, "in", "", "", 40)), always("withdraw", 0, rule(KindWithdraw, "out", "", "", 30)),
				always("tombstone", 0, Entry{Kind: KindTombstone, Payment: testID(3), Asker: "shop-b", Key: testID(1).String()})},
			settles(1, everyone, tongma.CNY)), 3, 7},
		{"settlement", append(open(capOf("bank-a", 100), capOf("shop-b", 100), paid, hold(2, "shop-b", "bank-c", 30)),
			Entry{Kind: KindPost, Payment: testID(1)}, Entry{Kind: KindPost, Payment: testID(2)}, Entry{Kind: KindClose}), letters(pays(paid, 1, 45),
			pays(hold(2, "shop-b", "bank-c", 30), 2, 30), pays(refund(3, 60), 3, 60), settles(2, everyone, tongma.CNY)), 3, 12},
		{"shortage", append(open(capOf("bank-a", 100), capOf("shop-b", 100), capOf("bank-c", 100), rule(KindDeposit, "in", "", "", 15), paid, hold(2, "bank-a", "bank-c", 30), hold(3, "bank-c", "shop-b", 40)),
			post(1, fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-c", 7)), post(2), post(3), Entry{Kind: KindClose}, Entry{Kind: KindInstruct, Window: 1}),
			letters(shortages(1, "bank-a", "bank-c"), []letter{always("reversing 2", 2, Entry{Kind: KindReversing, Payment: testID(2)}), always("reversed 2", 2, Entry{Kind: KindReversed, Payment: testID(2)}),
				always("resume", 0, Entry{Kind: KindResume, Debtor: "bank-a"})}, settles(2, everyone, tongma.CNY)), 3, 6},
		{"sponsor", open(capOf("bank-a", 100), capOf("shop-b", 100), capOf("sub", 70), sponsor("sub", "bank-a")), letters(
			pays(hold(1, "sub", "shop-b", 60), 1, 45, fee(schemes.FeeScheme, schemes.FeeKeep, "sub", "bank-c", 3)), pays(hold(2, "bank-a", "sub", 30), 2, 30), pays(back3, 3, 20),
			[]letter{always("sponsor", 0, sponsor("sub", "bank-a")), always("another sponsor", 0, sponsor("sub", "bank-c")), always("no sponsor", 0, sponsor("sub", "")), always("a sub as sponsor", 0, sponsor("bank-c", "sub")),
				always("a sponsor's sponsor", 0, sponsor("bank-a", "bank-c")), always("suspend sponsor", 0, Entry{Kind: KindSuspend, Debtor: "bank-a"})}, settles(1, everyone, tongma.CNY)), 3, 5},
		{"sub of a short sponsor", append(open(capOf("bank-a", 200), capOf("shop-b", 100), capOf("sub", 70), sponsor("sub", "bank-a"), hold(1, "sub", "shop-b", 60), hold(2, "sub", "bank-c", 10), hold(3, "bank-a", "sub", 40)),
			post(1, fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "sub", 7)), post(2), post(3), Entry{Kind: KindClose}, Entry{Kind: KindInstruct, Window: 1}),
			letters(shortages(1, "bank-a", "sub"), shortages(1, "bank-a", "bank-c"), settles(2, everyone, tongma.CNY), []letter{always("no sponsor", 0, sponsor("sub", ""))}), 3, 5},
		{"disputes", append(open(Entry{Kind: KindOpen, Model: "disputes", Method: calendar.Bilateral}, capOf("bank-a", 100), capOf("shop-b", 100), paid), post(1)), letters(
			quarrels(4, 40), quarrels(5, 30), pays(refund(2, 30), 2, 15), []letter{always("reversing 1", 1, Entry{Kind: KindReversing, Payment: testID(1)}), closes("disputes", 3)}), 3, 6},
		{"two currencies", open(capOf("bank-a", 100), yens("fx", 20_000), yens("shop-b", 20_000), capOf("fx", 100)), letters(
			pays(dear2, 1, 45, fee(schemes.FeeScheme, schemes.FeeReturn, "bank-a", "bank-c", 3)), pays(yenBack(2, 5_000), 2, 100), pays(yenBack(3, 4_315), 3, 4_315), quarrelsOver(4, yensOf(4_000)), settles(1, everyone, tongma.CNY)[:3]), 3, 5},
		{"pairs", open(Entry{Kind: KindOpen, Model: "pairs", Method: calendar.Bilateral}, Entry{Kind: KindOpen, Model: "gross", Method: calendar.Gross}, capOf("bank-a", 100), capOf("shop-b", 100), capOf("bank-c", 100)),
			letters(pays(of(hold(1, "bank-a", "shop-b", 60), "pairs"), 1, 45, fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "bank-c", 3)), pays(of(hold(2, "shop-b", "bank-a", 30), "pairs"), 2, 30),
				pays(of(hold(3, "bank-a", "bank-c", 20), "gross"), 3, 20), []letter{closes("pairs", 5), closes("gross", 5), closes("", 5)}, pairs(3, "bank-a", "shop-b", "bank-c")), 3, 5},
		{"by hand", append(open(capOf("bank-a", 100), paid), post(1, fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-a", 7)), Entry{Kind: KindClose}, Entry{Kind: KindInstruct, Window: 1}),
			letters(byHand(1, "bank-a", "bank-c"), settles(2, everyone, tongma.CNY)), 3, 6},
		{"a chargeback that is short", append(open(Entry{Kind: KindOpen, Model: "disputes"}, capOf("bank-a", 100), paid), post(1, fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-a", 7)),
			Entry{Kind: KindDispute, Payment: testID(9), Key: "d", Asker: "bank-a", Original: testID(1), Amount: tongma.Money{Minor: 30, Currency: tongma.CNY}, Model: "disputes"},
			Entry{Kind: KindDisputeStep, Payment: testID(9), Stage: dispute.Accepted, Asker: "shop-b"}, Entry{Kind: KindClose, Model: "disputes"}, Entry{Kind: KindInstruct, Window: 2}),
			letters(shortages(2, "shop-b", "bank-c"), []letter{always("defer 9", 9, Entry{Kind: KindDefer, Window: 2, Payment: testID(9), SchemeRef: "CNY"}), closes("disputes", 4),
				always("defer 9 again", 9, Entry{Kind: KindDefer, Window: 3, Payment: testID(9), SchemeRef: "CNY"}), always("settled 2", 0, Entry{Kind: KindSettled, Window: 2})}, pairs(3, "bank-a", "shop-b"),
				pays(refund(3, 20), 3, 20)), 3, 6},
		{"gross shortage", append(open(Entry{Kind: KindOpen, Model: "gross", Method: calendar.Gross}, capOf("bank-a", 100), capOf("shop-b", 100), of(paid, "gross"), of(hold(2, "bank-a", "bank-c", 30), "gross"), of(hold(3, "shop-b", "bank-a", 40), "gross")),
			post(1), post(2), post(3), Entry{Kind: KindClose, Model: "gross"}, Entry{Kind: KindInstruct, Window: 2}),
			letters(shortages(2, "bank-a", "bank-d"), []letter{closes("gross", 4), always("settled", 0, Entry{Kind: KindSettled, Window: 2})}, pairs(3, "bank-a", "shop-b", "bank-c")), 3, 6},
	}
}

// TestEveryInterleaving: in every state that any sequence of a small alphabet
// leads to, up to a depth (TONGMA_DEPTH raises it), every rule of the search and
// every check of the audit holds; a crash and a replay change nothing; and what
// is open can be brought to its end.
func TestEveryInterleaving(t *testing.T) {
	t.Parallel()
	written := map[Kind]int{KindOpen: 1, KindDirectory: 1} // set up, and of no account
	for _, kind := range []Kind{KindCarryOut, KindCarryIn, KindGather, KindClaim, KindHome} {
		written[kind]++ // of several Books: see TestAMarketOfShardsIsOneMarket
	}
	for _, sc := range scopes() {
		depth := sc.depth
		if given, err := strconv.Atoi(os.Getenv("TONGMA_DEPTH")); err == nil {
			depth = max(depth, given)
		}
		if testing.Short() {
			depth = sc.depth - 2
		}
		s, began := newSearch(sc, sound, depth), time.Now()
		s.run(runtime.GOMAXPROCS(0))
		t.Logf("%s: %d letters, depth %d: %d states, %d transitions (%d refused), %.1f s", sc.name, len(sc.letters), s.deepest, len(s.seen), s.transitions, s.refused, time.Since(began).Seconds())
		for rule, sequence := range s.found {
			t.Errorf("%s: %s is broken by: %s", sc.name, rule, sequence)
		}
		for kind, n := range s.written {
			written[kind] += n
		}
	}
	for kind, name := range kindNames {
		if name != "" && written[Kind(kind)] == 0 {
			t.Errorf("no sequence ever wrote %s", name)
		}
	}
}
