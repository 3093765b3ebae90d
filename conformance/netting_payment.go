package conformance

import (
	"fmt"
	"iter"
	"math/big"
	"slices"

	"github.com/tongma/tongma"
)

// tracked is a payment that was held, and how far it has come.
type tracked struct {
	line     // that held it
	currency tongma.Currency
	phase    string // kind of its latest line
	posted   bool
	window   *Sheet   // that its posting is in
	back     *Sheet   // that its turning back is in
	paid     int64    // posted of it
	fees     []fee    // of its posting
	of       *tracked // refund: what it gives back of
	given    int64    // refunds of it that were posted
	giving   int64    // refunds of it that are held
	disputed int64    // of it, in disputes that are not over
	charged  int64    // of it, back by disputes
}

// taken is what refunds and disputes have of a payment, or may yet have.
func (p *tracked) taken() int64 { return p.given + p.giving + p.disputed + p.charged }

// follows says which phases a payment may come to, and from which.
var follows = map[string][]string{
	"pend":      {"hold"},
	"post":      {"hold", "pend"},
	"void":      {"hold", "pend"},
	"expire":    {"hold"},
	"reversing": {"hold", "pend", "post"},
	"reversed":  {"reversing"},
}

// ask takes the first line of a payment, which uses its key up.
func (r *recomputing) ask(l *line) error {
	key := l.Asker + "\x00" + l.Key
	switch {
	case l.Payment == "" || r.payments[l.Payment] != nil || r.disputes[l.Payment] != nil:
		return fmt.Errorf("the payment was there before")
	case r.keys[key]:
		return fmt.Errorf("the key of %s was used before", l.Asker)
	case r.open[l.Model] == nil:
		return fmt.Errorf("no window of model %q is open", l.Model)
	case l.Auth != 0 && tongma.WindowID(l.Auth) != r.open[l.Model].Window:
		return fmt.Errorf("it names window %d while %d is open", l.Auth, r.open[l.Model].Window)
	}
	r.keys[key] = true
	r.payments[l.Payment] = &tracked{line: *l, phase: l.Kind}
	return nil
}

func (r *recomputing) hold(l *line) error {
	if err := r.ask(l); err != nil {
		return err
	}
	a, own, err := r.account(l)
	if err != nil {
		return err
	}
	settler := r.settler(l.Debtor)
	debtor := r.standing(Account{settler, a.Currency})
	switch {
	case l.Minor <= 0 || !l.Creditor.Valid():
		return fmt.Errorf("a hold needs an amount and a creditor")
	case r.suspended[l.Debtor] || r.suspended[settler]:
		return fmt.Errorf("%s is suspended", l.Debtor)
	case !own.Capped || !debtor.Capped:
		return fmt.Errorf("%s has no cap in %s", l.Debtor, l.Currency)
	}
	p := r.payments[l.Payment]
	p.currency = a.Currency
	if l.Op == "refund" || l.Original != "" {
		if err := r.refund(p); err != nil {
			return err
		}
	}
	if err := r.reserve(p, l.Minor); err != nil {
		return err
	}
	if err := r.within(settler, debtor); err != nil {
		return err
	}
	return r.within(l.Debtor, own)
}

// reserve adds to what is held for a payment: of whoever settles for its debtor, and
// of the debtor's own part.
func (r *recomputing) reserve(p *tracked, minor int64) error {
	if own := r.standing(Account{p.Debtor, p.currency}); r.sponsors[p.Debtor] != "" {
		own.MemoReserved += minor
	}
	return add(&r.standing(Account{r.settler(p.Debtor), p.currency}).Reserved, minor)
}

// within says whether an account keeps to its limit: one that settles through another
// with its part.
func (r *recomputing) within(who tongma.ParticipantID, s *Standing) error {
	use, held := s.Position, s.Reserved
	if r.sponsors[who] != "" {
		use, held = s.MemoPosition, s.MemoReserved
	}
	at := use
	if err := add(&use, held); err != nil {
		return err
	}
	if use > s.Cap && use-s.Cap > s.Prefunding { // a cap is not below zero, so that nothing overflows
		return fmt.Errorf("%s is at %d, held %d: that is past its cap of %d, prefunded %d", who, at, held, s.Cap, s.Prefunding)
	}
	return nil
}

// refund holds a refund against its original: the other way round, and all of them
// together, those under way included, no more than was posted.
func (r *recomputing) refund(p *tracked) error {
	o := r.payments[p.Original]
	if o != nil && o.Model != p.Model {
		return fmt.Errorf("a refund in model %q of a payment in %q", p.Model, o.Model)
	}
	if o == nil || o.phase != "post" || o.of != nil || o.currency != p.currency || o.Debtor != p.Creditor || o.Creditor != p.Debtor {
		return fmt.Errorf("a refund of what was not paid")
	}
	p.of = o
	if o.giving += p.Minor; o.taken() > o.paid {
		return fmt.Errorf("%d refunded, %d disputed or charged back of %d", o.given+o.giving, o.disputed+o.charged, o.paid)
	}
	return nil
}

// change takes a later line of a payment, which repeats what the payment is.
func (r *recomputing) change(l *line) error {
	p := r.payments[l.Payment]
	switch {
	case p == nil || p.currency == 0:
		return fmt.Errorf("the payment was never held")
	case !slices.Contains(follows[l.Kind], p.phase):
		return fmt.Errorf("the payment has come to %q", p.phase)
	case l.Debtor != p.Debtor || l.Creditor != p.Creditor || l.Currency != p.Currency:
		return fmt.Errorf("%s pays %s in %s, but the hold is of %s for %s in %s", l.Debtor, l.Creditor, l.Currency, p.Debtor, p.Creditor, p.Currency)
	}
	p.phase = l.Kind
	switch {
	case l.Kind == "post":
		if l.Minor <= 0 || l.Minor > p.Minor {
			return fmt.Errorf("%d are posted of %d", l.Minor, p.Minor)
		}
		p.posted, p.paid, p.fees = true, l.Minor, l.Fees
		if err := r.release(p); err != nil {
			return err
		}
		p.window = r.open[p.Model]
		return r.post(l, p, p.Debtor, p.Creditor, p.feesBack())
	case p.posted && l.Minor != p.paid, !p.posted && l.Minor != p.Minor:
		return fmt.Errorf("%d of another amount", l.Minor)
	case l.Kind == "reversing" && (p.of != nil || p.taken() > 0):
		return fmt.Errorf("a refund, refunded or disputed: it cannot be undone")
	case l.Kind == "expire" && (p.Expiry == "" || l.Time <= p.Expiry):
		return fmt.Errorf("dropped at %s, it was to be kept until %q", l.Time, p.Expiry)
	case l.Kind == "reversed" && p.posted:
		p.back = r.open[p.Model]
		return r.post(l, p, p.Creditor, p.Debtor, wayBack(p.fees))
	case len(l.Fees) > 0 || l.Window != 0:
		return fmt.Errorf("it moves nothing, but names fees or a window")
	case l.Kind != "pend" && l.Kind != "reversing":
		return r.release(p)
	}
	return nil
}

// release ends a hold.
func (r *recomputing) release(p *tracked) error {
	if p.of != nil {
		p.of.giving -= p.Minor
	}
	return r.reserve(p, -p.Minor)
}

// post moves an amount and the fees of its line, in the open window. due are the
// fees that must go with it; nil if they are free.
func (r *recomputing) post(l *line, p *tracked, debtor, creditor tongma.ParticipantID, due []fee) error {
	w := r.open[p.Model]
	if tongma.WindowID(l.Window) != w.Window {
		return fmt.Errorf("it names window %d while %d is open", l.Window, w.Window)
	}
	if due != nil && !slices.Equal(l.Fees, due) {
		return fmt.Errorf("its fees are %v, those that go back are %v", l.Fees, due)
	}
	for _, f := range l.Fees {
		if f.Minor <= 0 || f.From == f.To || !f.From.Valid() || !f.To.Valid() {
			return fmt.Errorf("a fee of %d from %q to %q", f.Minor, f.From, f.To)
		}
	}
	for pair, m := range movements(debtor, creditor, p.currency, l.Minor, l.Fees) {
		if err := r.move(r.settlers(pair), m.Gross); err != nil {
			return err
		}
		if err := r.count(w, pair, m); err != nil {
			return err
		}
	}
	w.Payments++
	if p.of != nil {
		p.of.given += l.Minor
	}
	return nil
}

// movements lists what a posting moves between whom: the payment, which counts as
// one, and its fees.
func movements(debtor, creditor tongma.ParticipantID, c tongma.Currency, minor int64, fees []fee) iter.Seq2[Pair, Cell] {
	return func(yield func(Pair, Cell) bool) {
		if !yield(Pair{debtor, creditor, c}, Cell{minor, 1}) {
			return
		}
		for _, f := range fees {
			if !yield(Pair{f.From, f.To, c}, Cell{f.Minor, 0}) {
				return
			}
		}
	}
}

// move debits one account and credits another. A side without a name is the
// settlement account, which is not ours.
func (r *recomputing) move(pair Pair, minor int64) error {
	for who, signed := range map[tongma.ParticipantID]int64{pair.Debtor: minor, pair.Creditor: -minor} {
		if who == "" || pair.Debtor == pair.Creditor {
			continue
		}
		if err := add(&r.standing(Account{who, pair.Currency}).Position, signed); err != nil {
			return err
		}
	}
	return nil
}

// wayBack returns fees the other way round.
func wayBack(fees []fee) []fee {
	back := make([]fee, 0, len(fees))
	for _, f := range fees {
		f.From, f.To = f.To, f.From
		back = append(back, f)
	}
	return back
}

// feesBack returns what the posting of a refund gives back of its original's fees:
// what is due for all refunds up to this one, less the same of those before it. It
// is nil if p is no refund.
func (p *tracked) feesBack() []fee {
	o := p.of
	if o == nil {
		return nil
	}
	back := []fee{}
	for _, f := range wayBack(o.fees) {
		if f.OnRefund != "return" {
			continue
		}
		if f.Minor = share(f.Minor, o.given+p.paid, o.paid) - share(f.Minor, o.given, o.paid); f.Minor > 0 {
			back = append(back, f)
		}
	}
	return back
}

// share is whole * part / of, rounded half to even.
func share(whole, part, of int64) int64 {
	q, r := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(whole), big.NewInt(part)), big.NewInt(of), new(big.Int))
	if c := r.Lsh(r, 1).Cmp(big.NewInt(of)); c > 0 || (c == 0 && q.Bit(0) == 1) {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64()
}
