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

func (r *recomputing) open() *Sheet { return r.sheets[len(r.sheets)-1] }

func (r *recomputing) begin(id tongma.WindowID, entry uint64) {
	r.sheets = append(r.sheets, &Sheet{Window: id, State: "open", FirstEntry: entry, Matrix: map[Pair]Cell{}})
}

func (r *recomputing) openFirst(l *line) error {
	if l.Window != 1 || len(r.sheets) > 0 {
		return fmt.Errorf("window %d is not the first", l.Window)
	}
	r.begin(1, l.Entry)
	return nil
}

// window finds the window that a line names, which must be in a state.
func (r *recomputing) window(l *line, state string) (*Sheet, error) {
	if l.Window == 0 || l.Window > uint64(len(r.sheets)) {
		return nil, fmt.Errorf("there is no window %d", l.Window)
	}
	w := r.sheets[l.Window-1]
	switch {
	case w.State != state:
		return nil, fmt.Errorf("the window is %s", w.State)
	case state != "open" && l.Sheet != w.Hash:
		return nil, fmt.Errorf("its sheet hash is %.8s, the window's is %.8s", l.Sheet, w.Hash)
	}
	return w, nil
}

func (r *recomputing) close(l *line) error {
	w, err := r.window(l, "open")
	if err != nil {
		return err
	}
	w.State, w.EndEntry = "closed", l.Entry
	r.begin(w.Window+1, l.Entry)
	return w.figure()
}

// instruct notes which legs the agent has to confirm: all figures but zero.
func (r *recomputing) instruct(l *line) error {
	w, err := r.window(l, "closed")
	if err != nil {
		return err
	}
	w.State = "instructed"
	legs := map[Account]int64{}
	for a, f := range w.Figures {
		if f.Net != 0 {
			legs[a] = f.Net
		}
	}
	r.legs[w.Window] = legs
	return nil
}

// settle takes one confirmed leg off.
func (r *recomputing) settle(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	who, signed := l.Debtor, l.Minor
	if who == "" {
		who, signed = l.Creditor, -l.Minor
	}
	currency, _ := tongma.CurrencyByCode(l.Currency)
	a := Account{who, currency}
	legs := r.legs[w.Window]
	if l.Minor <= 0 || legs[a] != signed {
		return fmt.Errorf("no leg of %d %s of %s is due", signed, l.Currency, who)
	}
	if signed < 0 && slices.ContainsFunc(slices.Collect(maps.Values(legs)), func(due int64) bool { return due > 0 }) {
		return fmt.Errorf("a creditor is paid before the last debtor has paid")
	}
	delete(legs, a)
	r.standing(a).Position -= signed
	return nil
}

func (r *recomputing) settled(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	if left := len(r.legs[w.Window]); left > 0 {
		return fmt.Errorf("%d legs are not confirmed", left)
	}
	w.State = "settled"
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
