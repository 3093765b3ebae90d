package settle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// Ledger is the books as a Settler needs them; *clearing.Ledger is one. Submit says
// what stands once it is durable; an error means that nothing is decided.
type Ledger interface {
	Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error)
	Read(ctx context.Context, see func(*clearing.Book)) error
}

// Options are the edges of a Settler.
type Options struct {
	Ledger Ledger
	// Directory returns the version in force: its default rules say who pays when a
	// participant cannot.
	Directory func() *schemes.Directory
	// Past are the versions before it, for the rules of a model that it has dropped; may
	// be nil.
	Past Versions
	// Agent returns who settles a window in a currency: always the same, from the
	// instruct entry on (AgentOf). nil: nobody is connected, and people confirm by hand.
	Agent    func(s *clearing.Sheet, c tongma.Currency) Agent
	Patience time.Duration // how long a transfer that is not decided is asked after, in one call; default 10 s
	Every    time.Duration // between two questions; default 500 ms
	Told     func(Event)   // each thing that happens, once it is written; may be nil, must not block
}

// Settler settles windows. Its methods may be called from any goroutine; of one
// window, one call at a time goes on and others are refused (StateConflict).
type Settler struct {
	opts Options

	// asking is full from looking at what is left of the funds until whom one asks is in
	// the books, where the next one sees it: windows are settled beside each other, and the
	// caps of the rules hold for them all. The Ledger is used meanwhile, so whoever waits
	// for it waits with its context.
	asking chan struct{}

	// mu guards what is below. Nothing else is taken while it is held.
	mu   sync.Mutex
	busy map[tongma.WindowID]bool
	// refusals is, by window and credit, how many ids of it the agent has refused: what
	// is known need not be asked again. It is forgotten with the process, and then found
	// out anew.
	refusals map[tongma.WindowID]map[string]int
	hushed   map[tongma.WindowID]map[string]bool // instructions to which the agent was silent
}

// New returns a Settler.
func New(opts Options) *Settler {
	opts.Patience, opts.Every = cmp.Or(opts.Patience, 10*time.Second), cmp.Or(opts.Every, 500*time.Millisecond)
	return &Settler{opts: opts, asking: make(chan struct{}, 1), busy: map[tongma.WindowID]bool{}, refusals: map[tongma.WindowID]map[string]int{}, hushed: map[tongma.WindowID]map[string]bool{}}
}

// How says how far a call of Settle may go. The zero How does all that the rules
// allow.
type How struct {
	DryRun bool // nothing is written and nobody is told: the report is what would be done
	Steps  int  // at most so many covers and recasts in this call; zero: as many as it takes; less than zero: none
	Retry  bool // those who were refused are asked again: they may have got money since
}

// Event is one thing that happened, or in a dry run would.
type Event struct {
	Kind  string // instructed, collected, paid, short, prefunding, guarantee, share, deferred, recast, settled; pending, unknown, rejected, wait
	From  tongma.ParticipantID
	To    tongma.ParticipantID
	For   tongma.ParticipantID // of a cover: who was short
	Money tongma.Money
	Count int    // payments that were deferred
	Ref   string // instruction's id
	Text  string // for people; names no accounts
}

// String returns a line for people: "collected bank-a -> settlement 12.50 CNY".
func (e Event) String() string {
	s := e.Kind
	if e.From != "" || e.To != "" {
		s += " " + cmp.Or(string(e.From), "settlement") + " -> " + cmp.Or(string(e.To), "settlement")
	}
	if e.For != "" && e.For != e.From {
		s += " for " + string(e.For)
	}
	if e.Money.Currency != 0 {
		s += " " + e.Money.String()
	}
	if e.Count > 0 {
		s += ", " + strconv.Itoa(e.Count) + " payments"
	}
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

// Report is what one call of Settle did, and how the window stands.
type Report struct {
	Sheet  clearing.Sheet
	Events []Event
	Open   []Event // what it waits for: transfers without a final answer, or people
	Plan   []Step  // what the rules would do next for those who are short
}

// Done tells whether the window is settled.
func (r *Report) Done() bool { return r.Sheet.State == clearing.WindowSettled }

// run is one call of Settle.
type run struct {
	*Settler
	ctx    context.Context
	how    How
	id     tongma.WindowID
	sheet  clearing.Sheet
	report Report

	asked   map[string]bool // instructions that were sent in this call
	retried map[legKey]bool // legs that were refused, or were short and were asked for again: once is enough
	refused map[Account]bool
	said    map[string]bool          // instructions of which a person's word waits
	sent    map[string]bool          // further tries of credits that were written down
	paid    map[Account]int64        // by the fund and survivors; nil until it is asked for
	items   []clearing.WindowItem    // nil until they are asked for
	doubt   map[tongma.Currency]bool // a transfer has no final answer
	form    map[legKey]bool          // the latest refusal was for the message's form
	silent  map[tongma.Currency]time.Duration
	stuck   map[tongma.Currency]bool // nothing more can be deferred
	steps   int
}

// Settle settles a closed window as far as it goes: it instructs, collects all
// debits, pays the credits, and covers who is short by the rules. What was confirmed
// before is passed over. A window that cannot be finished now is no error: the
// report says what it waits for, and Settle is called again later. Errors are
// WindowUnknown, WindowNotClosed, StateConflict (another call settles it), and those
// of the Ledger.
func (s *Settler) Settle(ctx context.Context, id tongma.WindowID, how How) (Report, error) {
	if !s.begin(id) {
		return Report{}, &tongma.Error{Op: "settle", Reason: tongma.StateConflict, Field: id.String(), Detail: "it is being settled already"}
	}
	defer s.end(id)
	r := &run{Settler: s, ctx: ctx, how: how, id: id, asked: map[string]bool{}, retried: map[legKey]bool{}, said: map[string]bool{}, sent: map[string]bool{}, refused: map[Account]bool{}, doubt: map[tongma.Currency]bool{}, stuck: map[tongma.Currency]bool{}, form: map[legKey]bool{}, silent: map[tongma.Currency]time.Duration{}}
	err := r.look()
	if err == nil && r.sheet.State == clearing.WindowOpen {
		err = &tongma.Error{Op: "settle", Reason: tongma.WindowNotClosed, Field: id.String()}
	}
	switch {
	case err != nil:
	case how.DryRun:
		err = r.rehearse()
	default:
		err = r.settle()
	}
	if r.sheet.State == clearing.WindowSettled {
		s.forget(id)
	}
	r.report.Sheet = r.sheet
	return r.report, err
}

func (s *Settler) begin(id tongma.WindowID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Settler) end(id tongma.WindowID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// forget drops what was kept for a window that is settled.
func (s *Settler) forget(id tongma.WindowID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refusals, id)
	delete(s.hushed, id)
}

// look reads the window's sheet.
func (r *run) look() error {
	ok := false
	err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) { r.sheet, ok = b.Sheet(r.id) })
	if err == nil && !ok {
		err = &tongma.Error{Op: "settle", Reason: tongma.WindowUnknown, Field: r.id.String()}
	}
	return err
}

// book writes an entry, and looks at what it made of the window. An entry that
// stands already is as good as written.
func (r *run) book(e clearing.Entry) error {
	res, err := r.opts.Ledger.Submit(r.ctx, e)
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "settle." + e.Kind.String(), Reason: res.Reason, Field: r.id.String()}
	}
	if err != nil {
		return err
	}
	return r.look()
}

func (r *run) tell(e Event) {
	r.report.Events = append(r.report.Events, e)
	if r.opts.Told != nil {
		r.opts.Told(e)
	}
}

func (r *run) rules(c tongma.Currency) *schemes.DefaultRules {
	if r.opts.Directory == nil {
		return nil
	}
	d := r.opts.Directory()
	if r.opts.Past != nil {
		d = cmp.Or(naming(r.opts.Past, d, func(d *schemes.Directory) bool { _, ok := d.SettlementModel(r.sheet.Model); return ok }), d)
	}
	found, _ := d.DefaultRules(r.sheet.Model, c)
	return found
}

// settle is the whole story of one window.
func (r *run) settle() error {
	if r.sheet.State == clearing.WindowClosed {
		// Stopped here, the window is closed and nobody was told to pay.
		if err := r.book(clearing.Entry{Kind: clearing.KindInstruct, Window: r.id, Hash: r.sheet.Hash}); err != nil {
			return err
		}
		r.tell(Event{Kind: "instructed"})
	}
	if r.sheet.Recasting { // stopped between the first payment deferred and the new sheet
		if err := r.finish(); err != nil {
			return err
		}
	}
	if err := r.search(); err != nil {
		return err
	}
	for again := true; again && r.sheet.State != clearing.WindowSettled; {
		if err := r.transfers(); err != nil {
			return err
		}
		var err error
		if again, err = r.cover(); err != nil {
			return err
		}
	}
	if err := r.wait(); err != nil {
		return err
	}
	if r.sheet.State != clearing.WindowInstructed || !r.allDone() {
		return nil
	}
	if err := r.book(clearing.Entry{Kind: clearing.KindSettled, Window: r.id}); err != nil {
		return err
	}
	r.tell(Event{Kind: "settled"})
	return nil
}

func (r *run) allDone() bool {
	for _, l := range r.sheet.Legs {
		if l.Due != 0 {
			return false
		}
	}
	return !r.sheet.Recasting
}

// wait says what the window waits for: whoever is short with no rule left for it.
func (r *run) wait() (err error) {
	for _, in := range clearing.Instruct(r.sheet) {
		if !r.asked[in.ID] && r.rank(&in) == 3 && r.doubt[in.Amount.Currency] {
			r.report.Open = append(r.report.Open, Event{Kind: "wait", From: in.Debtor, To: in.Creditor, Money: in.Amount, Ref: in.ID, Text: "not sent: the agent is silent"})
		}
		if r.short(&in) || r.retried[legOf(&in)] {
			e := Event{Kind: "short", From: in.Debtor, To: in.Creditor, Money: in.Amount}
			switch {
			case r.form[legOf(&in)]:
				e.Text = refusedForm
			case r.stuck[in.Amount.Currency] && r.sheet.Shards > 1:
				e.Text = staysGathered
			}
			r.report.Open = append(r.report.Open, e)
		}
	}
	r.report.Plan, err = r.plan()
	return err
}

// plan says what the rules would do next.
func (r *run) plan() ([]Step, error) {
	if len(shorts(&r.sheet)) == 0 {
		return nil, nil
	}
	var f Funds
	if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		f = fundsOf(b)
		f.less(b, r.id)
		if r.paid == nil {
			r.paid = paidOf(b, &r.sheet)
		}
	}); err != nil {
		return nil, err
	}
	f.Paid, f.Refused = r.paid, r.refused
	steps := Plan(r.sheet, f, r.rules, nil)
	if !slices.ContainsFunc(steps, func(s Step) bool { return s.Kind == StepRecast }) { // the payments change nothing
		return steps, nil
	}
	items, err := r.payments()
	return Plan(r.sheet, f, r.rules, items), err
}

// payments returns what the window holds.
func (r *run) payments() ([]clearing.WindowItem, error) {
	if r.items != nil {
		return r.items, nil
	}
	items := []clearing.WindowItem{}
	err := r.eachPayment(func(it *clearing.WindowItem) {
		if it.DeferredTo == 0 {
			items = append(items, *it)
		}
	})
	if err == nil {
		r.items = items
	}
	return items, err
}

// atOnce is how many payments are read while nobody can be served: some milliseconds.
const atOnce = 10_000

// eachPayment calls see for everything that was posted into the window, a part at a
// time: it is closed, and only this call defers out of it.
func (r *run) eachPayment(see func(*clearing.WindowItem)) error {
	var at clearing.WindowCursor
	for n := atOnce; n == atOnce; {
		n = 0
		if err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
			b.WindowPaymentsFrom(r.id, &at, func(it clearing.WindowItem) bool {
				see(&it)
				n++
				return n < atOnce
			})
		}); err != nil {
			return err
		}
	}
	return nil
}

// Payments returns what a window holds, in the order of the journal, without what
// was deferred out of it.
func Payments(b *clearing.Book, id tongma.WindowID) (items []clearing.WindowItem) {
	b.WindowPayments(id, func(it clearing.WindowItem) bool {
		if it.DeferredTo == 0 {
			items = append(items, it)
		}
		return true
	})
	return items
}

// transfers sends what is due: all debits, then the credits of each currency of
// which no debit is due any more.
func (r *run) transfers() error {
	for {
		in, ok := r.next()
		if !ok {
			return nil
		}
		r.asked[in.ID] = true
		if r.short(&in) {
			r.retried[legOf(&in)] = true
			if r.agent(in.Amount.Currency) != nil {
				// Stopped behind this, searchRetry finds it, and asks the agent.
				if err := r.book(in.Retry()); err != nil {
					return err
				}
			}
		}
		if err := r.instruct(in); err != nil {
			return err
		}
	}
}

// next returns the first instruction that was not sent in this call and may be. Those of
// a currency in which the agent is silent come behind those of others, and last those to
// which it was silent in an earlier call: one agent that is down, or one instruction that it
// never answers, holds up nothing else. Once it has been silent for long, the rest is left
// for the next call.
func (r *run) next() (best clearing.Instruction, ok bool) {
	waits := map[tongma.Currency]bool{} // debits are due
	rank := 3
	for _, in := range clearing.Instruct(r.sheet) {
		if in.Debtor != "" && in.Creditor == "" {
			waits[in.Amount.Currency] = true
		}
		switch {
		case r.asked[in.ID], in.Debtor == "" && waits[in.Amount.Currency]:
		case r.retried[legOf(&in)], r.short(&in) && (!r.how.Retry || r.doubt[in.Amount.Currency]): // a cover may be on its way
		default:
			if n := r.rank(&in); n < rank {
				best, ok, rank = in, true, n
			}
		}
	}
	return best, ok
}

// rank says when an instruction is sent: 0 at once, 1 and 2 behind others, 3 not in this call.
func (r *run) rank(in *clearing.Instruction) int {
	switch spent := r.silent[in.Amount.Currency]; {
	case spent >= silences*r.opts.Patience:
		return 3
	case r.unanswered(in.ID, false):
		return 2
	case spent > 0:
		return 1
	}
	return 0
}

// silences is for how many times our patience an agent may be silent in one call.
const silences = 6

// unanswered tells whether the agent was silent to an instruction in an earlier call, or
// remembers that it was now. It is forgotten with the process.
func (r *run) unanswered(id string, now bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hushed[r.id] == nil && now {
		r.hushed[r.id] = map[string]bool{}
	}
	if now {
		r.hushed[r.id][id] = true
	}
	return r.hushed[r.id][id]
}

// legKey is between whom a leg runs.
type legKey struct {
	debtor, creditor tongma.ParticipantID
	currency         tongma.Currency
}

func legOf(in *clearing.Instruction) legKey {
	return legKey{in.Debtor, in.Creditor, in.Amount.Currency}
}

// short tells whether an instruction is for a leg that the agent refused.
func (r *run) short(in *clearing.Instruction) bool {
	for _, l := range shorts(&r.sheet) {
		if l.debtor == in.Debtor && l.creditor == in.Creditor && l.currency == in.Amount.Currency {
			return true
		}
	}
	return false
}

func (r *run) transfer(in clearing.Instruction) Transfer {
	return Transfer{Instruction: in, Model: r.sheet.Model, ValueDate: r.sheet.ValueDate}
}

// instruct has one instruction carried out and writes down what came of it.
func (r *run) instruct(in clearing.Instruction) error {
	t := r.transfer(in)
	e := Event{From: in.Debtor, To: in.Creditor, Money: in.Amount, Ref: in.ID}
	var w Word
	var ok bool
	began := time.Now()
	defer func() {
		if ok && w.Outcome == Unknown {
			r.silent[in.Amount.Currency] += max(time.Since(began), r.opts.Patience)
		}
		if ok && (w.Outcome == Unknown || w.Outcome == Unheard) {
			r.unanswered(in.ID, true)
		}
	}()
	if in.Debtor == "" {
		var err error
		if w, t.ID, ok, err = r.credit(t); err != nil {
			return err
		}
		e.Ref = t.ID
	} else {
		w, ok = r.move(t)
	}
	if !ok {
		e.Kind, e.Text = "wait", r.nobody()
		r.open(e)
		return nil
	}
	return r.became(t, w, e)
}

// became writes down what the agent says of an instruction, if that is the end of it.
func (r *run) became(t Transfer, w Word, e Event) error {
	in := t.Instruction
	switch {
	case w.Outcome == Settled || w.Outcome == Partly:
		// The agent has moved the money. Stopped here, the same id is sent again and
		// answered as it was.
		// A part of a credit needs no more than that: the settlement account has the
		// rest, whose instruction has an id of its own now.
		if err := r.confirm(t, w, e); err != nil || w.Outcome == Settled || in.Debtor == "" {
			return err
		}
		e.Money.Minor -= w.Amount.Minor
		return r.refuse(in, e)
	case w.Outcome == Rejected && in.Debtor != "":
		if r.form[legOf(&in)] = w.Form; w.Form {
			e.Text = refusedForm
		}
		return r.refuse(in, e)
	}
	r.undecided(e, w)
	return nil
}

func (r *run) open(e Event) {
	r.report.Open = append(r.report.Open, e)
	r.doubt[e.Money.Currency] = true
}

// refusedCredit is what is to be done where the agent refuses a credit.
const refusedCredit = "the agent refuses it: have it tried again, or two people say how it was paid"

// refusedForm is what is to be done where the agent refuses a debit or a cover for its
// form: a wrong account, or a message behind the agent's own cut-off, is no failure to pay, for
// which others would have to. So the rules wait until a person has them go on.
const refusedForm = "the agent refuses it for its form, not for want of money, so nobody else is asked to pay: mend the cause and settle with --retry, or go on by the rules with --steps"

func (r *run) undecided(e Event, w Word) {
	e.Kind = w.Outcome.String()
	switch {
	case w.Err != nil:
		e.Text = tongma.ReasonOf(w.Err).Info().Title
		if err := (*tongma.Error)(nil); errors.As(w.Err, &err) && err.Detail != "" {
			if e.Text = err.Detail; err.Reason == tongma.AgentSilent {
				e.Text = "what became of it is not known: " + err.Detail
			}
		}
	case w.Outcome == Rejected:
		e.Text = refusedCredit
	}
	r.open(e)
}

// confirm writes down what the agent moved.
func (r *run) confirm(t Transfer, w Word, e Event) error {
	entry := t.Confirm()
	entry.Amount = w.Amount
	if err := r.book(entry); err != nil {
		return err
	}
	e.Money = w.Amount
	if e.Kind = "collected"; t.Debtor == "" || t.Creditor != "" {
		e.Kind = "paid"
	}
	r.tell(e)
	return nil
}

// refuse writes down that a debtor has not got what is due, or the rest of it. That
// suspends it.
func (r *run) refuse(in clearing.Instruction, e Event) error {
	r.retried[legOf(&in)] = true
	entry := in.Refuse(tongma.AgentRejected)
	entry.Amount = e.Money
	if err := r.book(entry); err != nil {
		return err
	}
	e.Kind = "short"
	r.tell(e)
	return nil
}

// move asks the agent for a transfer, and asks after it while it is not decided and
// there is patience. ok is false if nobody is connected.
func (r *run) move(t Transfer) (w Word, ok bool) {
	agent := r.agent(t.Amount.Currency)
	if agent == nil {
		return w, false
	}
	w = agent.Move(r.ctx, t)
	for until := time.Now().Add(r.opts.Patience); !w.final() && time.Now().Before(until); {
		if !pause(r.ctx, r.opts.Every) {
			break
		}
		if w = agent.Ask(r.ctx, t); w.Outcome == Unheard { // it got lost on the way
			w = agent.Move(r.ctx, t)
		}
	}
	return w.sound(t), true
}

func (r *run) agent(c tongma.Currency) Agent {
	if r.opts.Agent == nil {
		return nil
	}
	return r.opts.Agent(&r.sheet, c)
}

// maxTries is how many ids a credit can have: the instruction's own, and then that with
// "-2" to "-99" behind it, which is as long as an id may be at a bank. Behind the last
// one two people say how it was paid.
const maxTries = 99

// tryID is the id of a credit's n-th try.
func tryID(id string, n int) string {
	if n == 1 {
		return id
	}
	return id + "-" + strconv.Itoa(n)
}

// isTry tells whether an id is that of a further try of a credit.
func isTry(id, of string) bool {
	end, ok := strings.CutPrefix(id, of+"-")
	n, err := strconv.Atoi(end)
	return ok && err == nil && n >= 2 && n <= maxTries && tryID(of, n) == id
}

// credit has a credit carried out. A refusal of a debit is an entry, and gives the next
// instruction another id; one of a credit, as of an account that was closed, is not. So
// the ids that the agent has refused are passed over, and the first that it has not
// heard of is used, if people want it tried again, and none of them says that it was
// paid. That is an entry before it is sent: what the books have as sent is sent again,
// whether people want that or not, until the agent says what became of it. A refused id
// stays refused, so that each is asked after once.
func (r *run) credit(t Transfer) (w Word, id string, ok bool, err error) {
	agent := r.agent(t.Amount.Currency)
	if agent == nil {
		return w, t.ID, false, nil
	}
	own := t.ID
	n := r.refusedIDs(own)
	for r.sent[tryID(own, n+2)] { // written only when the one before it was refused
		n++
	}
	if n == 0 {
		if w, _ = r.move(t); w.Outcome != Rejected {
			return w, t.ID, true, nil
		}
	}
	for n = max(n, 1); n < maxTries; n++ {
		t.ID = tryID(own, n+1)
		w = agent.Ask(r.ctx, t).sound(t)
		sent := w.Outcome == Unheard
		if sent && ((!r.how.Retry && !r.sent[t.ID]) || r.said[own]) {
			break
		}
		if sent {
			if err := r.again(t); err != nil {
				return w, t.ID, true, err
			}
			w, _ = r.move(t)
		}
		if w.Outcome != Rejected {
			r.refuses(own, n)
			return w, t.ID, true, nil
		}
		if sent {
			n++
			break // once a call is enough
		}
	}
	r.refuses(own, n)
	return Word{Outcome: Rejected}, tryID(own, n), true, nil
}

// again writes down that a credit is about to be tried again, if it is not yet.
func (r *run) again(t Transfer) error {
	if r.sent[t.ID] {
		return nil
	}
	r.sent[t.ID] = true
	return r.book(t.Retry())
}

// refusedIDs returns how many ids of a credit the agent has refused, as far as is known.
func (r *run) refusedIDs(credit string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refusals[r.id][credit]
}

// refuses remembers how many ids of a credit the agent has refused.
func (r *run) refuses(credit string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals[r.id] == nil {
		r.refusals[r.id] = map[string]int{}
	}
	r.refusals[r.id][credit] = n
}

// coverID is the id of what a payer is asked for one who is short, as long as nothing
// more is settled of the leg: 32 characters. tries is how often the agent refused it
// before.
func coverID(s *clearing.Sheet, l short, payer tongma.ParticipantID, tries int) string {
	text := fmt.Sprintf("tongma cover 1\n%x\n%d\n%s\n%s\n%s\n%s\n%d\n", s.Hash, s.Window, l.debtor, l.creditor, payer, l.currency.Code(), l.settled)
	if tries > 0 {
		text += strconv.Itoa(tries) + "\n"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
