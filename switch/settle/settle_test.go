package settle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

var seeds = flag.Uint64("seeds", 150, "random markets in TestAnyMarketAnyFaultAnyStop")

var errStopped = errors.New("stopped")

// stopper ends a run at its n-th step, before the step takes effect or after: the
// process is gone then, and hears nothing more.
type stopper struct {
	mu    sync.Mutex
	left  int // steps until it stops; less than zero: never
	after bool
	gone  bool
}

// step runs one step, and returns whether its answer is heard.
func (s *stopper) step(do func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	if s.left == 0 {
		s.gone = true
		if s.after {
			do()
		}
		return false
	}
	s.left--
	do()
	return true
}

// books is a Ledger in memory.
type books struct {
	*stopper
	mu      *sync.Mutex
	book    *clearing.Book
	entries *[]clearing.Entry
	now     *int64
	clock   func() int64   // in place of now; may be nil
	ends    *clearing.Kind // the process ends behind the next entry of that kind
}

func newBooks() *books {
	now := int64(1_700_000_000_000)
	return &books{&stopper{left: -1}, &sync.Mutex{}, clearing.NewBook(), &[]clearing.Entry{}, &now, nil, new(clearing.Kind)}
}

func (b *books) Submit(_ context.Context, e clearing.Entry) (r clearing.Result, err error) {
	heard := b.step(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if *b.now++; b.clock != nil {
			*b.now = b.clock()
		}
		r.Verdict = b.book.Propose(&e, *b.now)
		if r.Entry = &e; r.Write {
			if err = b.book.Apply(&e); err == nil {
				*b.entries = append(*b.entries, e)
				if *b.ends == e.Kind && e.Kind != clearing.KindNone {
					*b.ends, b.gone = clearing.KindNone, true
				}
			}
		}
	})
	if !heard || b.gone {
		return clearing.Result{}, errStopped
	}
	return r, err
}

func (b *books) Read(_ context.Context, see func(*clearing.Book)) error {
	b.stopper.mu.Lock()
	gone := b.gone
	b.stopper.mu.Unlock()
	if gone {
		return errStopped
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	see(b.book)
	return nil
}

// bank is an Agent in memory. Its accounts are numbered as those of a market.
type bank struct {
	*stopper
	mu       *sync.Mutex
	balance  map[string]int64
	words    map[string]Word
	moves    *[]string
	faults   map[string][]Word // by account of the debtor: what it answers next, in place of moving all
	asked    map[string]Transfer
	stop     string         // "moved": the process ends behind the next transfer; "sent": in front of it
	silences map[string]int // how many answers about an account get lost
	slow     bool           // what is sent is on its way until late carries it out
	late     []Transfer
}

func newBank(m *market) *bank {
	b := &bank{&stopper{left: -1}, &sync.Mutex{}, map[string]int64{}, map[string]Word{}, &[]string{}, map[string][]Word{}, map[string]Transfer{}, "", map[string]int{}, false, nil}
	for _, a := range m.accounts() {
		b.balance[a.ID] = a.Balance
	}
	return b
}

func (b *bank) side(p tongma.ParticipantID) string {
	if p == "" {
		return drillAccount
	}
	return accountNumber(p)
}

func (b *bank) from(t Transfer) string {
	if t.Prefunding {
		return prefundingNumber(t.Debtor)
	}
	return b.side(t.Debtor)
}

func (b *bank) Move(_ context.Context, t Transfer) (w Word) {
	if b.slow {
		b.late = append(b.late, t)
		return Word{}
	}
	if b.stop != "" { // the process ends here: in front of the agent, or behind it
		b.left, b.after, b.stop = 0, b.stop == "moved", ""
	}
	if !b.step(func() { w = b.move(t) }) {
		return Word{Err: errStopped}
	}
	return w
}

func (b *bank) move(t Transfer) (w Word) {
	b.mu.Lock()
	defer b.mu.Unlock()
	from, to := b.from(t), b.side(t.Creditor)
	if was, ok := b.asked[t.ID]; ok && was.Amount != t.Amount {
		return Word{} // the id stands for something else
	}
	b.asked[t.ID] = t
	if b.silences[from] > 0 {
		b.silences[from]--
		defer func() { w = Word{} }()
	}
	if w, ok := b.words[t.ID]; ok {
		return w
	}
	w = Word{Outcome: Settled, Amount: t.Amount}
	if f := b.faults[from]; len(f) > 0 {
		w, b.faults[from] = f[0], f[1:]
	} else if b.balance[from] < t.Amount.Minor {
		w = Word{Outcome: Rejected}
	}
	if w.Amount.Minor > 0 {
		b.balance[from] -= w.Amount.Minor
		b.balance[to] += w.Amount.Minor
		*b.moves = append(*b.moves, fmt.Sprintf("%s>%s %d", from, to, w.Amount.Minor))
	}
	b.words[t.ID] = w
	return w
}

// decide has a transfer from an account that was pending moved, or refused.
func (b *bank) decide(from string, moved bool) {
	for id, w := range b.words {
		t := b.asked[id]
		if w.Outcome != Pending || b.from(t) != from {
			continue
		}
		if w = (Word{Outcome: Rejected}); moved {
			w = Word{Outcome: Settled, Amount: t.Amount}
			b.balance[from] -= t.Amount.Minor
			b.balance[b.side(t.Creditor)] += t.Amount.Minor
		}
		b.words[id] = w
	}
}

func (b *bank) Ask(_ context.Context, t Transfer) (w Word) {
	if !b.step(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		var ok bool
		if w, ok = b.words[t.ID]; !ok {
			w = Word{Outcome: Unheard}
		}
	}) {
		return Word{Err: errStopped}
	}
	return w
}

// rig is a market with books, an agent and a Settler.
type rig struct {
	*testing.T
	market *market
	dir    *schemes.Directory
	books  *books
	bank   *bank
	told   []string
	count  byte
	model  string
	away   bool // no agent is connected
}

func cny(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }

func newRig(t *testing.T, m *market) *rig {
	t.Helper()
	d, err := m.directory()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, market: m, dir: d, books: newBooks(), bank: newBank(m)}
	r.must(clearing.Entry{Kind: clearing.KindOpen})
	if m.method != "" {
		r.model = "pairs"
		model, _ := d.SettlementModel("pairs")
		r.must(clearing.Entry{Kind: clearing.KindOpen, Model: "pairs", Method: methodOf(model.Method)})
	}
	for _, b := range m.banks {
		r.must(clearing.Entry{Kind: clearing.KindCap, Debtor: b, Amount: cny(drillCap)})
		if p := m.prefunding[b]; p > 0 {
			r.must(clearing.Entry{Kind: clearing.KindDeposit, Key: "deposit-" + string(b), Debtor: b, Amount: cny(p)})
		}
	}
	return r
}

func (r *rig) must(e clearing.Entry) clearing.Entry {
	r.Helper()
	res, err := r.books.Submit(r.Context(), e)
	if err != nil || !res.Write || res.Reason != tongma.NoReason {
		r.Fatalf("%s: %+v %v", e.Kind, res.Verdict, err)
	}
	return *res.Entry
}

// pay posts a payment "a>b" and returns its id.
func (r *rig) pay(who string, minor int64) tongma.PaymentID {
	r.Helper()
	r.count++
	from, to, _ := strings.Cut(who, ">")
	id := tongma.PaymentID{0: 1, 15: r.count}
	creditor := tongma.ParticipantID("bank-" + to)
	r.must(clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: creditor, Key: fmt.Sprint("K", r.count), Debtor: tongma.ParticipantID("bank-" + from),
		Creditor: creditor, Scheme: drillScheme, Amount: cny(minor), Model: r.model})
	r.must(clearing.Entry{Kind: clearing.KindPost, Payment: id})
	return id
}

func (r *rig) closeWindow() tongma.WindowID {
	r.Helper()
	return r.must(clearing.Entry{Kind: clearing.KindClose, Model: r.model}).Window
}

// settler is a process of its own, over the same books and the same agent.
func (r *rig) settler() *Settler {
	return New(Options{Ledger: r.books, Directory: func() *schemes.Directory { return r.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent {
		if r.away {
			return nil
		}
		return r.bank
	},
		Patience: time.Millisecond, Every: time.Millisecond / 2, Told: func(e Event) { r.told = append(r.told, e.String()) }})
}

func (r *rig) settle(id tongma.WindowID, how How) Report {
	r.Helper()
	rep, err := r.settler().Settle(r.Context(), id, how)
	if err != nil {
		r.Fatal(err)
	}
	return rep
}

func (r *rig) sheet(id tongma.WindowID) clearing.Sheet {
	s, _ := r.books.book.Sheet(id)
	return s
}

// told compares what happened, line by line.
func (r *rig) wantTold(want ...string) {
	r.Helper()
	if got := strings.Join(r.told, "\n"); got != strings.Join(want, "\n") {
		r.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func banks(letters string) (all []tongma.ParticipantID) {
	for _, l := range letters {
		all = append(all, tongma.ParticipantID("bank-"+string(l)))
	}
	return all
}

func rich(letters string) map[tongma.ParticipantID]int64 {
	out := map[tongma.ParticipantID]int64{}
	for _, b := range banks(letters) {
		out[b] = 1_000_000
	}
	return out
}

func TestDebitsAreCollectedBeforeCreditsArePaid(t *testing.T) {
	r := newRig(t, &market{banks: banks("abc"), balance: rich("ab")})
	r.pay("a>c", 500)
	r.pay("b>c", 300)
	w := r.closeWindow()
	rep := r.settle(w, How{})
	r.wantTold("instructed", "collected bank-a -> settlement 5.00 CNY", "collected bank-b -> settlement 3.00 CNY", "paid settlement -> bank-c 8.00 CNY", "settled")
	if !rep.Done() || len(rep.Open) != 0 || r.bank.balance["BANK-C"] != 800 || r.bank.balance[drillAccount] != 0 {
		t.Errorf("%+v %v", rep, r.bank.balance)
	}
	if rep := r.settle(w, How{}); len(rep.Events) != 0 || !rep.Done() {
		t.Errorf("a settled window is settled again: %+v", rep)
	}
}

func TestAWindowInWhichNothingHappenedSettles(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab")})
	if rep := r.settle(r.closeWindow(), How{}); !rep.Done() {
		t.Errorf("%+v", rep)
	}
	if _, err := r.settler().Settle(t.Context(), 9, How{}); tongma.ReasonOf(err) != tongma.WindowUnknown {
		t.Error(err)
	}
	if _, err := r.settler().Settle(t.Context(), 2, How{}); tongma.ReasonOf(err) != tongma.WindowNotClosed {
		t.Error(err)
	}
}

// TestAnAnswerThatDoesNotComeIsNotANo: the window waits, and is finished when the
// agent is heard again; the money moves once.
func TestAnAnswerThatDoesNotComeIsNotANo(t *testing.T) {
	r := newRig(t, &market{banks: banks("abc"), balance: rich("ab"), recast: true})
	r.pay("a>c", 500)
	r.pay("b>c", 300)
	w := r.closeWindow()
	r.bank.faults["BANK-A"] = []Word{{Outcome: Pending}}
	rep := r.settle(w, How{})
	if rep.Done() || len(rep.Open) != 1 || rep.Open[0].Kind != "pending" || rep.Sheet.Progress != clearing.ProgressCollecting {
		t.Fatalf("%+v", rep)
	}
	r.wantTold("instructed", "collected bank-b -> settlement 3.00 CNY")
	for id, word := range r.bank.words {
		if word.Outcome == Pending {
			r.bank.words[id] = Word{Outcome: Settled, Amount: cny(500)}
			r.bank.balance[drillAccount] += 500
		}
	}
	if rep := r.settle(w, How{}); !rep.Done() {
		t.Fatalf("%+v", rep)
	}
	r.bank.silences["BANK-B"] = 0
}

func TestAPartOfACreditIsWrittenDownAndTheRestPaid(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab"), balance: rich("a")})
	r.pay("a>b", 500)
	w := r.closeWindow()
	r.bank.faults[drillAccount] = []Word{{Outcome: Partly, Amount: cny(200)}}
	if rep := r.settle(w, How{}); !rep.Done() || r.bank.balance["BANK-B"] != 500 {
		t.Errorf("%+v %v", rep, r.bank.balance)
	}
	r.wantTold("instructed", "collected bank-a -> settlement 5.00 CNY", "paid settlement -> bank-b 2.00 CNY", "paid settlement -> bank-b 3.00 CNY", "settled")
}

func TestAPartIsWrittenDownAndTheRestIsShort(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab"), balance: rich("a"), prefunding: map[tongma.ParticipantID]int64{"bank-a": 300}})
	r.pay("a>b", 500)
	w := r.closeWindow()
	r.bank.faults["BANK-A"] = []Word{{Outcome: Partly, Amount: cny(200)}}
	rep := r.settle(w, How{})
	r.wantTold("instructed", "collected bank-a -> settlement 2.00 CNY", "short bank-a -> settlement 3.00 CNY", "prefunding bank-a -> settlement 3.00 CNY",
		"paid settlement -> bank-b 5.00 CNY", "settled")
	if !rep.Done() || r.bank.balance["BANK-A-PRE"] != 0 {
		t.Errorf("%+v", rep)
	}
}

func TestWithoutRulesItStaysShortUntilItPays(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab")})
	r.pay("a>b", 500)
	w := r.closeWindow()
	rep := r.settle(w, How{})
	if rep.Done() || rep.Sheet.Progress != clearing.ProgressShort || len(rep.Plan) != 1 || rep.Plan[0].Kind != StepWait {
		t.Fatalf("%+v", rep)
	}
	if again := r.settle(w, How{}); len(again.Events) != 0 {
		t.Errorf("it was asked again without being told to: %v", again.Events)
	}
	r.bank.balance["BANK-A"] = 500
	if rep := r.settle(w, How{Retry: true}); !rep.Done() {
		t.Errorf("%+v", rep)
	}
	r.wantTold("instructed", "short bank-a -> settlement 5.00 CNY", "collected bank-a -> settlement 5.00 CNY", "paid settlement -> bank-b 5.00 CNY", "settled")
}

// TestADebitThatWasTriedAgainAndIsOnItsWayIsEndedBeforeACover: the agent has not heard of
// it yet, which is no reason to have others pay. It is sent again under its own id, so
// that the debtor pays once, whichever of the two comes first.
func TestADebitThatWasTriedAgainAndIsOnItsWayIsEndedBeforeACover(t *testing.T) {
	for _, pays := range []bool{true, false} {
		r := newRig(t, &market{banks: banks("ab"), fund: 500})
		r.pay("a>b", 500)
		w, s := r.closeWindow(), r.settler()
		settle := func(how How) Report {
			rep, err := s.Settle(t.Context(), w, how)
			if err != nil {
				t.Fatal(err)
			}
			return rep
		}
		settle(How{Steps: -1})
		r.bank.slow = true
		if rep := settle(How{Retry: true, Steps: -1}); len(rep.Open) == 0 || len(r.bank.late) == 0 {
			t.Fatalf("nothing is on its way: %+v", rep)
		}
		if rep := settle(How{}); len(*r.bank.moves) != 0 || len(rep.Open) == 0 || len(r.bank.late) < 2 {
			t.Errorf("while nothing is heard: %v, %+v", *r.bank.moves, rep)
		}
		if r.bank.slow = false; pays {
			r.bank.balance["BANK-A"] = 500
		}
		if rep := settle(How{}); !rep.Done() {
			t.Errorf("%+v", rep)
		}
		from := map[bool]string{true: "BANK-A", false: "DRILL-FUND"}[pays]
		r.bank.balance["BANK-A"] += 500
		for _, transfer := range r.bank.late {
			r.bank.move(transfer)
		}
		if want := []string{from + ">DRILL-SETTLEMENT 500", "DRILL-SETTLEMENT>BANK-B 500"}; !slices.Equal(*r.bank.moves, want) {
			t.Errorf("moved %v, want %v", *r.bank.moves, want)
		}
	}
}

// TestADebitThatAnEarlierProcessTriedAgainIsAwaited: that it was sent again is in the
// journal, so that whoever comes after a stop knows it, however long the message takes. It
// is asked after, and sent again under its id; others pay only once it has its end.
func TestADebitThatAnEarlierProcessTriedAgainIsAwaited(t *testing.T) {
	for _, pays := range []bool{true, false} {
		r := newRig(t, &market{banks: banks("ab"), fund: 500, recast: true})
		r.pay("a>b", 500)
		w := r.closeWindow()
		settle := func(how How) Report { // each in a process of its own
			rep, err := r.settler().Settle(t.Context(), w, how)
			if err != nil {
				t.Fatal(err)
			}
			return rep
		}
		settle(How{Steps: -1})
		r.bank.slow = true
		settle(How{Retry: true, Steps: -1})
		sent := len(r.bank.late)
		if again := r.books.book.Retried(w); sent == 0 || len(again) != 1 || again[0].Instruction != r.bank.late[0].ID || again[0].Debtor != "bank-a" || again[0].Amount != cny(500) {
			t.Fatalf("sent %d, in the books %+v", sent, again)
		}
		for range 3 {
			if rep := settle(How{}); len(*r.bank.moves) != 0 || rep.Done() || len(rep.Open) == 0 || len(r.bank.late) <= sent {
				t.Errorf("while nothing is heard of it: %v, %+v", *r.bank.moves, rep)
			}
		}
		if r.bank.slow = false; pays {
			r.bank.balance["BANK-A"] = 500
			r.bank.move(r.bank.late[0])
		}
		if rep := settle(How{}); !rep.Done() {
			t.Errorf("%+v", rep)
		}
		from := map[bool]string{true: "BANK-A", false: "DRILL-FUND"}[pays]
		r.bank.balance["BANK-A"] += 500
		for _, transfer := range r.bank.late { // at last
			r.bank.move(transfer)
		}
		if want := []string{from + ">DRILL-SETTLEMENT 500", "DRILL-SETTLEMENT>BANK-B 500"}; !slices.Equal(*r.bank.moves, want) {
			t.Errorf("moved %v, want %v", *r.bank.moves, want)
		}
	}
}

// TestStoppedBeforeADebitIsSentAgain: it was decided, so the next one sends it, and under
// the same id.
func TestStoppedBeforeADebitIsSentAgain(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab"), fund: 500})
	r.pay("a>b", 500)
	w := r.closeWindow()
	r.settle(w, How{Steps: -1})
	*r.books.ends = clearing.KindRetry
	if _, err := r.settler().Settle(t.Context(), w, How{Retry: true}); err == nil {
		t.Fatal("it was not stopped")
	}
	*r.books.ends, r.books.gone = clearing.KindNone, false
	id := r.books.book.Retried(w)[0].Instruction
	r.bank.balance["BANK-A"] = 500
	if rep := r.settle(w, How{}); !rep.Done() || (*r.bank.moves)[0] != "BANK-A>DRILL-SETTLEMENT 500" {
		t.Errorf("%v, %+v", *r.bank.moves, rep)
	}
	if was, ok := r.books.book.Told(w, id); !ok || was.Kind != clearing.KindSettle || len(r.books.book.Retried(w)) != 0 {
		t.Errorf("%+v", was)
	}
}

// TestACreditThatIsTriedAgainIsNotSaidToBePaidElsewhere: as long as its message may still
// arrive it would be paid twice, and after a stop the journal knows of it.
func TestACreditThatIsTriedAgainIsNotSaidToBePaidElsewhere(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab"), balance: rich("a")})
	r.pay("a>b", 500)
	w := r.closeWindow()
	side := r.bank.side("")
	r.bank.faults[side] = append(r.bank.faults[side], Word{Outcome: Rejected})
	r.settle(w, How{})
	own := clearing.Instruct(r.sheet(w))[0].ID
	r.bank.slow = true
	r.settle(w, How{Retry: true})
	if n := len(r.bank.late); n == 0 || r.bank.late[n-1].ID != tryID(own, 2) {
		t.Fatalf("sent %+v", r.bank.late)
	}
	_, err := r.settler().Confirm(t.Context(), ByHand{Window: w, Instruction: own, Evidence: "cheque 42", By: "ann"})
	if tongma.ReasonOf(err) != tongma.StateConflict {
		t.Errorf("paid by other means, while a further try is on its way: %v", err)
	}
	r.bank.slow = false
	if rep := r.settle(w, How{}); !rep.Done() || r.bank.balance["BANK-B"] != 500 {
		t.Errorf("it is sent again under the same id, since it was decided: %+v", rep)
	}
	for _, transfer := range r.bank.late {
		r.bank.move(transfer)
	}
	if r.bank.balance["BANK-B"] != 500 {
		t.Errorf("paid twice: %v", *r.bank.moves)
	}
}

// wide is the market in which bank-a fails: 900 are missing, of which its own
// prefunding pays 200, the fund 300 and the survivors 150 by 3:2:1. They could give 100 more, but a's last
// payment is of 250: it is deferred as a whole.
func wide(t *testing.T) *rig {
	r := newRig(t, &market{banks: banks("abcd"), balance: rich("bcd"), prefunding: map[tongma.ParticipantID]int64{"bank-a": 200}, fund: 300, recast: true,
		shares: []schemes.LossShare{{Participant: "bank-a", Weight: 9, CapMinor: 1000}, {Participant: "bank-b", Weight: 3, CapMinor: 1000}, {Participant: "bank-c", Weight: 2, CapMinor: 50}, {Participant: "bank-d", Weight: 1, CapMinor: 100}}})
	r.market.shares[1].CapMinor = 100
	var err error
	if r.dir, err = r.market.directory(); err != nil {
		t.Fatal(err)
	}
	r.pay("a>b", 400)
	r.pay("a>c", 350)
	r.pay("b>a", 100)
	r.pay("a>d", 250)
	r.pay("d>c", 700)
	return r
}

func TestTheWaterfall(t *testing.T) {
	r := wide(t)
	w := r.closeWindow()
	dry := r.settle(w, How{DryRun: true})
	if len(dry.Events) != 4 || len(r.told) != 0 || len(*r.bank.moves) != 0 || r.sheet(w).State != clearing.WindowClosed {
		t.Errorf("%+v", dry)
	}
	rep := r.settle(w, How{})
	r.wantTold("instructed",
		"short bank-a -> settlement 9.00 CNY",
		"collected bank-d -> settlement 4.50 CNY",
		"prefunding bank-a -> settlement 2.00 CNY",
		"guarantee drill-fund -> settlement for bank-a 3.00 CNY",
		"share bank-b -> settlement for bank-a 0.75 CNY",
		"share bank-c -> settlement for bank-a 0.50 CNY",
		"share bank-d -> settlement for bank-a 0.25 CNY",
		"deferred 9.50 CNY, 2 payments", // a's last payment goes to d, which then has too little for its own last
		"recast",
		"paid settlement -> bank-b 3.00 CNY",
		"paid settlement -> bank-c 3.50 CNY",
		"paid settlement -> bank-d 4.50 CNY",
		"settled")
	if !rep.Done() {
		t.Errorf("%+v", rep)
	}
}

// TestStoppedAtEveryStepTheEndIsTheSame stops the process before and after each
// thing it does, with the books and with the agent, starts another one, and finds the
// same end: the same money moved, once, and the same figures.
func TestStoppedAtEveryStepTheEndIsTheSame(t *testing.T) {
	end := func(r *rig, w tongma.WindowID) string {
		moves := slices.Sorted(slices.Values(*r.bank.moves))
		return fmt.Sprint(moves, r.bank.balance, r.books.book.Positions(), r.sheet(w).Legs, r.sheet(w+1).Nets)
	}
	for name, make := range map[string]func(*testing.T) *rig{"multilateral": wide, "bilateral": narrow("bilateral"), "gross": narrow("gross")} {
		steps := stopEverywhere(t, make, end)
		if steps < 15 {
			t.Errorf("%s: stopped at %d steps only", name, steps)
		}
		t.Logf("%s: stopped before and after each of %d steps", name, steps)
	}
}

// narrow is a market of pairs in which several payments of a have to wait, the later
// of them smaller than the first.
func narrow(method string) func(*testing.T) *rig {
	return func(t *testing.T) *rig {
		r := newRig(t, &market{banks: banks("abc"), balance: rich("bc"), prefunding: map[tongma.ParticipantID]int64{"bank-a": 350}, recast: true, method: method})
		for _, minor := range []int64{300, 900, 20, 10} {
			r.pay("a>b", minor)
		}
		r.pay("b>a", 40)
		r.pay("a>c", 30)
		r.pay("c>b", 70)
		return r
	}
}

func stopEverywhere(t *testing.T, make func(*testing.T) *rig, end func(*rig, tongma.WindowID) string) (steps int) {
	whole := make(t)
	w := whole.closeWindow()
	whole.settle(w, How{})
	want := end(whole, w)
	for stopped := true; stopped; steps++ {
		stopped = false
		for _, after := range []bool{false, true} {
			r := make(t)
			r.closeWindow()
			s := &stopper{left: steps, after: after}
			r.books.stopper, r.bank.stopper = s, s
			_, err := r.settler().Settle(t.Context(), w, How{})
			stopped = stopped || s.gone
			if !s.gone && err != nil {
				t.Fatal(err)
			}
			s = &stopper{left: -1}
			r.books.stopper, r.bank.stopper = s, s
			rep := r.settle(w, How{})
			if got := end(r, w); !rep.Done() || got != want {
				t.Fatalf("stopped at step %d, after %t:\n%s\nwant\n%s\n%s", steps, after, got, want, strings.Join(r.told, "\n"))
			}
		}
	}
	return steps
}

// TestAnyMarketAnyFaultAnyStop settles random markets in which transfers are refused,
// put off, done in part and not heard of, while the process is stopped again and
// again. Whatever comes: no money is made or lost, no window is settled whose legs are
// not, each participant's accounts moved by what the books say, and the auditor agrees.
func TestAnyMarketAnyFaultAnyStop(t *testing.T) {
	settled := 0
	for seed := range *seeds {
		rnd := rand.New(rand.NewPCG(seed, 7))
		m := &market{banks: banks("abcde"), balance: map[tongma.ParticipantID]int64{}, prefunding: map[tongma.ParticipantID]int64{}, recast: rnd.IntN(4) > 0,
			method: []string{"", "", "bilateral", "gross"}[rnd.IntN(4)], fund: rnd.Int64N(300)}
		for _, b := range m.banks {
			m.balance[b] = []int64{0, 50, 1 << 30}[rnd.IntN(3)]
			m.prefunding[b] = rnd.Int64N(200)
			m.shares = append(m.shares, schemes.LossShare{Participant: b, Weight: 1 + rnd.Int64N(5), CapMinor: 1 + rnd.Int64N(100)})
		}
		r := newRig(t, m)
		for range 1 + rnd.IntN(40) {
			from := rnd.IntN(5)
			r.pay(string("abcde"[from])+">"+string("abcde"[(from+1+rnd.IntN(4))%5]), 1+rnd.Int64N(100))
		}
		w := r.closeWindow()
		r.chaos(rnd)
		done := false
		for range 40 {
			s := &stopper{left: rnd.IntN(12), after: rnd.IntN(2) == 0}
			if rnd.IntN(3) == 0 {
				s.left = -1
			}
			r.books.stopper, r.bank.stopper = s, s
			rep, err := r.settler().Settle(t.Context(), w, How{Retry: rnd.IntN(4) == 0})
			if err != nil && !s.gone {
				t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(r.told, "\n"))
			}
			if done = err == nil && rep.Done(); done {
				break
			}
		}
		r.books.stopper, r.bank.stopper = &stopper{left: -1}, &stopper{left: -1}
		if done {
			settled++
		}
		r.consistent(fmt.Sprint("seed ", seed), w, done)
	}
	if settled < int(*seeds)/2 {
		t.Errorf("%d of %d windows settled only", settled, *seeds)
	}
	t.Logf("%d of %d windows settled", settled, *seeds)
}

// chaos plants what the agent does wrong.
func (r *rig) chaos(rnd *rand.Rand) {
	for _, b := range r.market.banks {
		for range rnd.IntN(3) {
			word := []Word{{Outcome: Rejected}, {Outcome: Partly, Amount: cny(1)}, {Outcome: Rejected}}[rnd.IntN(3)]
			k := accountNumber(b)
			if r.bank.balance[k] > 0 && rnd.IntN(2) == 0 {
				r.bank.faults[k] = append(r.bank.faults[k], word)
			}
			r.bank.silences[k] = rnd.IntN(3)
		}
	}
}

// consistent holds the books against the agent's money and against the auditor.
func (r *rig) consistent(name string, w tongma.WindowID, done bool) {
	r.Helper()
	a := clearing.NewAuditor(clearing.AuditOptions{})
	for i := range *r.books.entries {
		a.Entry(&(*r.books.entries)[i])
	}
	if rep := a.Report(); !rep.OK {
		r.Fatalf("%s: the auditor finds %+v", name, rep.Findings)
	}
	sum, start := int64(0), int64(0)
	for _, acct := range r.market.accounts() {
		start += acct.Balance
		sum += r.bank.balance[acct.ID]
	}
	if sum != start {
		r.Fatalf("%s: %d became %d", name, start, sum)
	}
	told := map[tongma.ParticipantID]int64{} // what left each account, by the journal
	for _, e := range *r.books.entries {
		switch e.Kind {
		case clearing.KindSettle:
			told[e.Debtor] += e.Amount.Minor
			told[e.Creditor] -= e.Amount.Minor
		case clearing.KindCover:
			told[e.Creditor] += e.Amount.Minor
			told[e.Asker] -= e.Amount.Minor
		}
	}
	for _, b := range append(slices.Clone(r.market.banks), drillFund, "") {
		before := r.market.balance[b] + r.market.prefunding[b]
		if b == drillFund {
			before = r.market.fund
		}
		now := r.bank.balance[r.bank.side(b)] + r.bank.balance[prefundingNumber(b)]
		if done && before-now != told[b] {
			r.Fatalf("%s: %s gave %d at the agent, and the books say %d\n%s", name, side(b), before-now, told[b], strings.Join(r.told, "\n"))
		}
	}
	if done && r.bank.balance[drillAccount] != 0 {
		r.Fatalf("%s: %d is left on the settlement account", name, r.bank.balance[drillAccount])
	}
}
