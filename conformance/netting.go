package conformance

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"

	"github.com/tongma/tongma"
)

// Account is one participant's account in one currency.
type Account struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
}

// Standing is how an account stands, in minor units.
type Standing struct {
	Position int64 // posted debits less posted credits, not yet settled: more than zero owes
	Reserved int64 // open holds
	Cap      int64
	Capped   bool
}

// Positions are the accounts that have a cap, a hold or a posting.
type Positions map[Account]Standing

// Pair is one cell of a bilateral matrix.
type Pair struct {
	Debtor, Creditor tongma.ParticipantID
	Currency         tongma.Currency
}

// Cell is what was posted from a debtor to a creditor in one window.
type Cell struct {
	Gross int64
	Count int64
}

// Figure is one participant's figure in one window and currency, in minor units.
type Figure struct{ Debits, Credits, Net int64 }

// Sheet is the net sheet of one window.
type Sheet struct {
	Window     tongma.WindowID
	State      string // "open", "closed", "instructed" or "settled"
	FirstEntry uint64 // that opened it
	EndEntry   uint64 // that closed it; zero while it is open
	Payments   int64  // postings, reversals of postings included
	Matrix     map[Pair]Cell
	Figures    map[Account]Figure
	Hash       string // SHA-256 of the sheet's text, hex
}

// Sheets are the windows, the first one first. The last one is open.
type Sheets []*Sheet

// line is what Recompute reads of a line of the journal (docs/journal.md). What
// is not in it is passed over.
type line struct {
	Entry    uint64               `json:"entry"`
	Kind     string               `json:"kind"`
	Time     string               `json:"time"`
	Payment  string               `json:"payment"`
	Original string               `json:"original"`
	Debtor   tongma.ParticipantID `json:"debtor"`
	Creditor tongma.ParticipantID `json:"creditor"`
	Minor    int64                `json:"amount_minor"`
	Currency string               `json:"currency"`
	Window   uint64               `json:"window"`
	Sheet    string               `json:"sheet_hash"`
}

const maxLine = 1 << 20

// Recompute reads the lines of `tongma journal dump --json` and computes
// positions, windows and net sheets from them alone, by the rules of
// docs/journal.md and with arithmetic of its own.
//
// It refuses a journal that does not add up, and names the entry: a gap in the
// numbers, a time that goes back, a payment that ends twice or was never held, a
// posting in a window that is not the open one, a hold over its cap, a refund of
// more than was paid, figures that do not sum to zero, a sheet hash other than its
// own, and a settlement whose legs are not the figures, each once, debtors first.
func Recompute(lines io.Reader) (Sheets, Positions, error) {
	r := recomputing{positions: map[Account]*Standing{}, holds: map[string]*held{}, legs: map[tongma.WindowID]map[Account]*big.Int{}}
	scan := bufio.NewScanner(lines)
	scan.Buffer(make([]byte, 64<<10), maxLine)
	for scan.Scan() {
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			return nil, nil, fmt.Errorf("conformance: the line behind entry %d is not JSON: %w", r.last.Entry, err)
		}
		if err := r.take(&l); err != nil {
			return nil, nil, fmt.Errorf("conformance: entry %d (%s): %w", l.Entry, l.Kind, err)
		}
		r.last = l
	}
	if err := scan.Err(); err != nil {
		return nil, nil, fmt.Errorf("conformance: behind entry %d: %w", r.last.Entry, err)
	}
	if len(r.sheets) > 0 {
		if err := r.figure(r.open()); err != nil {
			return nil, nil, err
		}
	}
	positions := Positions{}
	for account, s := range r.positions {
		positions[account] = *s
	}
	return r.sheets, positions, nil
}

// recomputing is the state between two lines.
type recomputing struct {
	last      line
	sheets    Sheets
	positions map[Account]*Standing
	holds     map[string]*held
	legs      map[tongma.WindowID]map[Account]*big.Int // of an instructed window: not yet confirmed
}

// held is a payment that was held, and how far it has come.
type held struct {
	line
	currency tongma.Currency
	state    string // "hold", "post", "void" or "reversed"
	refunded int64  // held or posted refunds of it
}

func (r *recomputing) take(l *line) error {
	switch {
	case l.Entry != r.last.Entry+1:
		return fmt.Errorf("it stands behind entry %d", r.last.Entry)
	case l.Time < r.last.Time:
		return fmt.Errorf("its time goes back")
	}
	switch l.Kind {
	case "directory", "suspend", "resume", "refuse", "tombstone", "pend", "reversing":
		return nil // move nothing
	case "open", "close", "instruct", "settle", "settled":
		return r.window(l)
	case "cap":
		account, err := r.account(l.Debtor, l.Currency)
		if err == nil {
			account.Cap, account.Capped = l.Minor, true
		}
		return err
	case "hold":
		return r.hold(l)
	case "post", "void", "reversed":
		return r.end(l)
	}
	return fmt.Errorf("no such kind is known")
}

func (r *recomputing) open() *Sheet { return r.sheets[len(r.sheets)-1] }

func (r *recomputing) account(who tongma.ParticipantID, code string) (*Standing, error) {
	currency, ok := tongma.CurrencyByCode(code)
	if !ok || !who.Valid() {
		return nil, fmt.Errorf("it names no account")
	}
	return r.standing(Account{who, currency}), nil
}

func (r *recomputing) standing(a Account) *Standing {
	s := r.positions[a]
	if s == nil {
		s = &Standing{}
		r.positions[a] = s
	}
	return s
}

func (r *recomputing) hold(l *line) error {
	debtor, err := r.account(l.Debtor, l.Currency)
	switch {
	case err != nil:
		return err
	case r.holds[l.Payment] != nil:
		return fmt.Errorf("the payment was held before")
	case l.Minor <= 0 || l.Creditor == "" || len(r.sheets) == 0:
		return fmt.Errorf("a hold needs an amount, a creditor and an open window")
	case !debtor.Capped || debtor.Position+debtor.Reserved+l.Minor > debtor.Cap:
		return fmt.Errorf("%s is at %d, held %d: %d more pass its cap of %d", l.Debtor, debtor.Position, debtor.Reserved, l.Minor, debtor.Cap)
	}
	currency, _ := tongma.CurrencyByCode(l.Currency)
	if l.Original != "" {
		of := r.holds[l.Original]
		if of == nil || of.state != "post" || of.currency != currency || of.Debtor != l.Creditor || of.Creditor != l.Debtor {
			return fmt.Errorf("a refund of what was not paid")
		}
		if of.refunded += l.Minor; of.refunded > of.Minor {
			return fmt.Errorf("%d refunded of %d", of.refunded, of.Minor)
		}
	}
	debtor.Reserved += l.Minor
	r.holds[l.Payment] = &held{line: *l, currency: currency, state: "hold"}
	return nil
}

// end takes what ends a hold, or undoes a posting.
func (r *recomputing) end(l *line) error {
	h := r.holds[l.Payment]
	if h == nil {
		return fmt.Errorf("the payment was never held")
	}
	from := h.state
	undoes := l.Kind == "reversed" && from == "post"
	if from != "hold" && !undoes {
		return fmt.Errorf("the payment has ended by %q", from)
	}
	h.state = l.Kind
	if !undoes {
		r.standing(Account{h.Debtor, h.currency}).Reserved -= h.Minor
	}
	if h.Original != "" && l.Kind != "post" {
		r.holds[h.Original].refunded -= h.Minor
	}
	switch {
	case undoes:
		return r.post(l, h.Creditor, h.Debtor, h)
	case l.Kind == "post":
		return r.post(l, h.Debtor, h.Creditor, h)
	}
	return nil
}

func (r *recomputing) post(l *line, debtor, creditor tongma.ParticipantID, h *held) error {
	w := r.open()
	if tongma.WindowID(l.Window) != w.Window {
		return fmt.Errorf("it names window %d while %d is open", l.Window, w.Window)
	}
	r.standing(Account{debtor, h.currency}).Position += h.Minor
	r.standing(Account{creditor, h.currency}).Position -= h.Minor
	pair := Pair{debtor, creditor, h.currency}
	cell := w.Matrix[pair]
	w.Matrix[pair] = Cell{cell.Gross + h.Minor, cell.Count + 1}
	w.Payments++
	return nil
}

func (r *recomputing) begin(id tongma.WindowID, entry uint64) {
	r.sheets = append(r.sheets, &Sheet{Window: id, State: "open", FirstEntry: entry, Matrix: map[Pair]Cell{}})
}

// window takes what happens to a window.
func (r *recomputing) window(l *line) error {
	id := tongma.WindowID(l.Window)
	if l.Kind == "open" {
		if id != 1 || len(r.sheets) > 0 {
			return fmt.Errorf("window %d is not the first", id)
		}
		r.begin(id, l.Entry)
		return nil
	}
	if id == 0 || int(id) > len(r.sheets) {
		return fmt.Errorf("there is no window %d", id)
	}
	w := r.sheets[id-1]
	if before := map[string]string{"close": "open", "instruct": "closed", "settle": "instructed", "settled": "instructed"}[l.Kind]; w.State != before {
		return fmt.Errorf("the window is %s", w.State)
	}
	if l.Kind != "close" && l.Sheet != w.Hash {
		return fmt.Errorf("its sheet hash is %.8s, the window's is %.8s", l.Sheet, w.Hash)
	}
	switch l.Kind {
	case "close":
		w.State, w.EndEntry = "closed", l.Entry
		r.begin(id+1, l.Entry)
		return r.figure(w)
	case "instruct":
		w.State = "instructed"
		r.instruct(w)
	case "settle":
		return r.settle(l, w)
	case "settled":
		if len(r.legs[id]) > 0 {
			return fmt.Errorf("%d legs are not confirmed", len(r.legs[id]))
		}
		w.State = "settled"
	}
	return nil
}

// figure computes a window's figures: row sums less column sums of its matrix.
// The sums are made with numbers that cannot overflow, and then must fit.
func (r *recomputing) figure(w *Sheet) error {
	debits, credits := map[Account]*big.Int{}, map[Account]*big.Int{}
	add := func(to map[Account]*big.Int, a Account, minor int64) {
		for _, side := range []map[Account]*big.Int{debits, credits} {
			if side[a] == nil {
				side[a] = new(big.Int)
			}
		}
		to[a].Add(to[a], big.NewInt(minor))
	}
	for pair, cell := range w.Matrix {
		add(debits, Account{pair.Debtor, pair.Currency}, cell.Gross)
		add(credits, Account{pair.Creditor, pair.Currency}, cell.Gross)
	}
	w.Figures = map[Account]Figure{}
	sums := map[tongma.Currency]int64{}
	for a := range debits {
		net := new(big.Int).Sub(debits[a], credits[a])
		if !debits[a].IsInt64() || !credits[a].IsInt64() || !net.IsInt64() {
			return fmt.Errorf("conformance: window %d: the figure of %s is too large", w.Window, a.Participant)
		}
		w.Figures[a] = Figure{debits[a].Int64(), credits[a].Int64(), net.Int64()}
		sums[a.Currency] += net.Int64()
	}
	for currency, sum := range sums {
		if sum != 0 {
			return fmt.Errorf("conformance: window %d: the figures in %s sum to %d", w.Window, currency, sum)
		}
	}
	w.Hash = w.hash()
	return nil
}

// hash is SHA-256 of the sheet's text.
func (w *Sheet) hash() string {
	var text bytes.Buffer
	fmt.Fprintf(&text, "tongma net sheet 1\nwindow %d\nentries %d %d\n", uint64(w.Window), w.FirstEntry, w.EndEntry)
	accounts := slices.SortedFunc(maps.Keys(w.Figures), func(x, y Account) int {
		return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Participant, y.Participant))
	})
	for _, a := range accounts {
		fmt.Fprintf(&text, "%s %s %d\n", a.Currency.Code(), a.Participant, w.Figures[a].Net)
	}
	sum := sha256.Sum256(text.Bytes())
	return hex.EncodeToString(sum[:])
}

// instruct notes which legs the agent has to confirm: all figures but zero.
func (r *recomputing) instruct(w *Sheet) {
	legs := map[Account]*big.Int{}
	for a, f := range w.Figures {
		if f.Net != 0 {
			legs[a] = big.NewInt(f.Net)
		}
	}
	r.legs[w.Window] = legs
}

// settle takes one confirmed leg off.
func (r *recomputing) settle(l *line, w *Sheet) error {
	who, signed := l.Debtor, l.Minor
	if who == "" {
		who, signed = l.Creditor, -l.Minor
	}
	currency, _ := tongma.CurrencyByCode(l.Currency)
	a := Account{who, currency}
	legs := r.legs[w.Window]
	if leg := legs[a]; leg == nil || leg.Cmp(big.NewInt(signed)) != 0 || l.Minor <= 0 {
		return fmt.Errorf("no leg of %d %s of %s is due", signed, l.Currency, who)
	}
	if signed < 0 && slices.ContainsFunc(slices.Collect(maps.Values(legs)), func(leg *big.Int) bool { return leg.Sign() > 0 }) {
		return fmt.Errorf("a creditor is paid before the last debtor has paid")
	}
	delete(legs, a)
	r.standing(a).Position -= signed
	return nil
}
