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
	target   tongma.Currency // of what the creditor gets, if that is another
	phase    string          // kind of its latest line
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
	feesGone int64    // of that, with its fees
	others   int64    // in two currencies: what refunds and disputes have of what the debtor paid
}

// got is what the creditor got; refunds and disputes are counted in it.
func (p *tracked) got() (minor int64, c tongma.Currency) {
	if p.Dealer != "" {
		return p.Target, p.target
	}
	return p.paid, p.currency
}

// feesIn is the currency of the fees: that of what the payer paid, or gets back.
func (p *tracked) feesIn() tongma.Currency {
	if p.Dealer != "" && p.of != nil {
		return p.target
	}
	return p.currency
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
	if err := r.placed(l); err != nil {
		return err
	}
	r.keys[key] = true
	r.payments[l.Payment] = &tracked{line: *l, phase: l.Kind}
	return nil
}

func (r *recomputing) hold(l *line) error {
	if err := r.ask(l); err != nil {
		return err
	}
	a, _, err := r.account(l)
	switch {
	case err != nil:
		return err
	case l.Minor <= 0 || !l.Creditor.Valid():
		return fmt.Errorf("a hold needs an amount and a creditor")
	}
	p := r.payments[l.Payment]
	p.currency = a.Currency
	if l.Op == "refund" || l.Original != "" {
		err = r.refund(p)
	}
	if err == nil {
		err = r.exchanged(p)
	}
	if err == nil {
		err = r.reserve(p, 1)
	}
	if err == nil {
		err = r.debited(p.Debtor, p.currency)
	}
	if err == nil && p.Dealer != "" {
		err = r.debited(p.Dealer, p.target)
	}
	return err
}

// debited says whether somebody may owe what is held of it by now, itself and whoever
// settles for it.
func (r *recomputing) debited(who tongma.ParticipantID, c tongma.Currency) error {
	settler := r.settler(who)
	own, through := r.standing(Account{who, c}), r.standing(Account{settler, c})
	switch {
	case r.suspended[who] || r.suspended[settler]:
		return fmt.Errorf("%s is suspended", who)
	case !own.Capped || !through.Capped:
		return fmt.Errorf("%s has no cap in %s", who, c)
	}
	if err := r.within(settler, through); err != nil {
		return err
	}
	return r.within(who, own)
}

// reserve holds what a payment may debit, sign 1, or releases it, sign -1: of whoever
// settles for its debtor, and of the debtor's own part; and of its dealer likewise.
func (r *recomputing) reserve(p *tracked, sign int64) error {
	one := func(who tongma.ParticipantID, c tongma.Currency, minor int64) error {
		if r.sponsors[who] != "" {
			r.standing(Account{who, c}).MemoReserved += minor
		}
		return add(&r.standing(Account{r.settler(who), c}).Reserved, minor)
	}
	err := one(p.Debtor, p.currency, sign*p.Minor)
	if err == nil && p.Dealer != "" {
		err = one(p.Dealer, p.target, sign*p.Target)
	}
	return err
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
	if o == nil || o.phase != "post" || o.of != nil || o.Debtor != p.Creditor || o.Creditor != p.Debtor {
		return fmt.Errorf("a refund of what was not paid")
	}
	got, c := o.got()
	if c != p.currency {
		return fmt.Errorf("a refund in %s of what was paid in %s", p.currency, c)
	}
	if err := o.proportion(&p.line); err != nil {
		return err
	}
	p.of = o
	o.others += p.Target
	if o.giving += p.Minor; o.taken() > got {
		return fmt.Errorf("%d refunded, %d disputed or charged back of %d", o.given+o.giving, o.disputed+o.charged, got)
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
	case l.Dealer != p.Dealer || l.Target != p.Target || l.TargetCurrency != p.TargetCurrency:
		return fmt.Errorf("%d %s by %q, but the hold is of %d %s by %q", l.Target, l.TargetCurrency, l.Dealer, p.Target, p.TargetCurrency, p.Dealer)
	case l.Debtor != p.Debtor || l.Creditor != p.Creditor || l.Currency != p.Currency:
		return fmt.Errorf("%s pays %s in %s, but the hold is of %s for %s in %s", l.Debtor, l.Creditor, l.Currency, p.Debtor, p.Creditor, p.Currency)
	}
	p.phase = l.Kind
	switch {
	case l.Kind == "post":
		if l.Minor <= 0 || l.Minor > p.Minor || (p.Dealer != "" && l.Minor != p.Minor) {
			return fmt.Errorf("%d are posted of %d", l.Minor, p.Minor)
		}
		p.posted, p.paid, p.fees = true, l.Minor, l.Fees
		if err := r.release(p); err != nil {
			return err
		}
		if p.of != nil {
			p.of.others += p.Target // not given up: it is back
		}
		p.window = r.open[p.Model]
		return r.post(l, p, false, p.feesBack())
	case p.posted && l.Minor != p.paid, !p.posted && l.Minor != p.Minor:
		return fmt.Errorf("%d of another amount", l.Minor)
	case l.Kind == "reversing" && (p.of != nil || p.taken() > 0):
		return fmt.Errorf("a refund, refunded or disputed: it cannot be undone")
	case l.Kind == "expire" && (p.Expiry == "" || l.Time <= p.Expiry):
		return fmt.Errorf("dropped at %s, it was to be kept until %q", l.Time, p.Expiry)
	case l.Kind == "reversed" && p.posted:
		p.back = r.open[p.Model]
		return r.post(l, p, true, wayBack(p.fees))
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
		p.of.others -= p.Target
	}
	return r.reserve(p, -1)
}

// post moves an amount and the fees of its line, in the open window. due are the
// fees that must go with it; nil if they are free.
func (r *recomputing) post(l *line, p *tracked, back bool, due []fee) error {
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
	for pair, m := range p.movements(back, l.Fees) {
		if err := r.move(r.settlers(pair), m.Gross); err != nil {
			return err
		}
		if err := r.count(w, pair, m); err != nil {
			return err
		}
	}
	if p.of != nil {
		p.of.given += l.Minor
	}
	return nil
}

// movements lists what a posting moves between whom, or its turning back: the payment,
// in two currencies by its dealer; and its fees, which a line has the way they go.
func (p *tracked) movements(back bool, fees []fee) iter.Seq2[Pair, Cell] {
	all := []Pair{{p.Debtor, p.Creditor, p.currency}}
	cells := []Cell{{p.paid, 1}}
	if p.Dealer != "" {
		all = []Pair{{p.Debtor, p.Dealer, p.currency}, {p.Dealer, p.Creditor, p.target}}
		cells = append(cells, Cell{p.Target, 1})
	}
	if back {
		for i, pair := range all {
			all[i].Debtor, all[i].Creditor = pair.Creditor, pair.Debtor
		}
	}
	for _, f := range fees {
		all, cells = append(all, Pair{f.From, f.To, p.feesIn()}), append(cells, Cell{f.Minor, 0})
	}
	return func(yield func(Pair, Cell) bool) {
		for i := range all {
			if !yield(all[i], cells[i]) {
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
	got, _ := o.got()
	return returning(o.fees, o.given+o.feesGone, p.paid, got)
}

// returning lists the fees that go back if minor more goes back of a payment of whole.
func returning(fees []fee, before, minor, whole int64) []fee {
	back := []fee{}
	for _, f := range wayBack(fees) {
		if f.OnRefund != "return" {
			continue
		}
		if f.Minor = share(f.Minor, before+minor, whole) - share(f.Minor, before, whole); f.Minor > 0 {
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
