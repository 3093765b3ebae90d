package settle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
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
	AtOnce   int           // how many transfers of a window may be with the agent at once; default 1
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
	opts.Patience, opts.Every, opts.AtOnce = cmp.Or(opts.Patience, 10*time.Second), cmp.Or(opts.Every, 500*time.Millisecond), max(opts.AtOnce, 1)
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

	resumed bool                   // it was instructed before this call: what is due may have been sent
	due     []clearing.Instruction // what the sheet asks for; nil until it is asked for
	asked   map[string]bool        // instructions that were sent in this call
	retried map[legKey]bool        // legs that were refused, or were short and were asked for again: once is enough
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

// look reads the window's sheet, or what of it has changed.
func (r *run) look() error {
	ok := false
	r.due = nil
	err := r.opts.Ledger.Read(r.ctx, func(b *clearing.Book) {
		if ok = b.Renew(&r.sheet); !ok {
			r.sheet, ok = b.Sheet(r.id)
		}
	})
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
	if r.resumed = r.sheet.State != clearing.WindowClosed; !r.resumed {
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
	for _, in := range r.instructions() {
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
