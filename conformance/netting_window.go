package conformance

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/tongma/tongma"
)

// begin opens a window of a model. Windows have one numbering, without gaps.
func (r *recomputing) begin(model, method string, entry uint64) error {
	if method == "" {
		method = multilateral
	}
	if !slices.Contains([]string{multilateral, bilateral, gross}, method) {
		return fmt.Errorf("no method is called %q", method)
	}
	w := &Sheet{Window: tongma.WindowID(len(r.sheets) + 1), Model: model, Method: method, State: "open", FirstEntry: entry, Matrix: map[Pair]Cell{}}
	r.sheets = append(r.sheets, w)
	r.open[model] = w
	return nil
}

// Methods of settling.
const (
	multilateral = "multilateral" // each with the settlement account, its net of all
	bilateral    = "bilateral"    // each with each, the net of the two
	gross        = "gross"        // each with each, nothing offset
)

// openModel takes the opening of a model's first window. That of the model without a
// name comes before all others.
func (r *recomputing) openModel(l *line) error {
	if r.open[l.Model] != nil || (len(r.sheets) == 0) != (l.Model == "") || l.Window != uint64(len(r.sheets)+1) {
		return fmt.Errorf("window %d is not the first of model %q", l.Window, l.Model)
	}
	return r.begin(l.Model, l.Method, l.Entry)
}

// window finds the window that a line names, which must be in a state.
func (r *recomputing) window(l *line, state string) (*Sheet, error) {
	if l.Window == 0 || l.Window > uint64(len(r.sheets)) {
		return nil, fmt.Errorf("there is no window %d", l.Window)
	}
	w := r.sheets[l.Window-1]
	if w.State != state {
		return nil, fmt.Errorf("the window is %s", w.State)
	}
	return w, nil
}

func (r *recomputing) close(l *line) error {
	w, err := r.window(l, "open")
	if err != nil {
		return err
	}
	if w.Model != l.Model {
		return fmt.Errorf("the window is of model %q", w.Model)
	}
	if err := r.linked(l, w); err != nil {
		return err
	}
	w.State, w.EndEntry, w.ValueDate = "closed", l.Entry, l.Value
	if err := w.figure(); err != nil {
		return err
	}
	return r.begin(w.Model, l.Method, l.Entry)
}

// finish computes the figures of windows that no line has fixed, and says how far
// those have come that are being settled.
func (r *recomputing) finish() error {
	for _, w := range r.sheets {
		if err := w.figure(); err != nil {
			return err
		}
		s := r.settling[w.Window]
		if s == nil || w.State == "settled" {
			continue
		}
		w.State = s.state()
		if s.recasting { // its legs are shown as they will be
			if err := s.redraw(w); err != nil {
				return err
			}
		}
		w.Due = map[Pair]int64{}
		for pair, x := range s.legs {
			if x.net != x.done {
				w.Due[pair] = x.net - x.done
			}
		}
	}
	return nil
}

// put counts something in a window: a cell of which nothing is left is none.
func (w *Sheet) put(pair Pair, m Cell) error {
	cell := w.Matrix[pair]
	cell.Count += m.Count
	if err := add(&cell.Gross, m.Gross); err != nil {
		return err
	}
	if cell == (Cell{}) {
		delete(w.Matrix, pair)
		return nil
	}
	w.Matrix[pair] = cell
	return nil
}

// figure computes a window's figures: row sums less column sums of its matrix.
// The sums are made with numbers that cannot overflow, and then must fit.
func (w *Sheet) figure() error {
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

// hash is SHA-256 of the sheet's text. What says nothing has no line: the model that
// has no name and settles multilaterally, a date that nobody set, and legs that are
// the figures.
func (w *Sheet) hash() string {
	var text bytes.Buffer
	fmt.Fprintf(&text, "tongma net sheet 1\nwindow %d\nentries %d %d\n", uint64(w.Window), w.FirstEntry, w.EndEntry)
	nets := w.Method == multilateral || w.Method == ""
	if w.Model != "" || !nets {
		fmt.Fprintf(&text, "model %s %s\n", cmp.Or(w.Model, "-"), w.Method)
	}
	if w.ValueDate != 0 {
		fmt.Fprintf(&text, "value %d\n", w.ValueDate)
	}
	accounts := slices.SortedFunc(maps.Keys(w.Figures), func(x, y Account) int {
		return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Participant, y.Participant))
	})
	for _, a := range accounts {
		fmt.Fprintf(&text, "%s %s %d\n", a.Currency.Code(), a.Participant, w.Figures[a].Net)
	}
	if legs, err := w.legs(); err == nil && !nets {
		pairs := slices.SortedFunc(maps.Keys(legs), func(x, y Pair) int {
			return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Debtor, y.Debtor), cmp.Compare(x.Creditor, y.Creditor))
		})
		for _, p := range pairs {
			switch net := legs[p].net; {
			case net > 0:
				fmt.Fprintf(&text, "%s %s pays %s %d\n", p.Currency.Code(), p.Debtor, p.Creditor, net)
			case net < 0:
				fmt.Fprintf(&text, "%s %s pays %s %d\n", p.Currency.Code(), p.Creditor, p.Debtor, -net)
			}
		}
	}
	sum := sha256.Sum256(text.Bytes())
	return hex.EncodeToString(sum[:])
}
