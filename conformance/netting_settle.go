package conformance

import (
	"fmt"

	"github.com/tongma/tongma"
)

// settling is an instructed window on its way to being settled.
type settling struct {
	legs      map[Pair]*leg
	told      map[string]bool // kind and id of every word of the agent
	asked     map[string]line // covers that have no answer yet, by id
	again     map[string]line // what was sent again and has no answer yet, by id
	words     map[string]line // of people, that wait for a second one, by id
	recasting bool            // payments left the window, and the sheet is not drawn up anew yet
	recastOf  string          // for which currency; older journals do not say it
}

// leg is what has to go from one side to the other; less than zero, back. It is
// found under the pair that its window's method makes of the two.
type leg struct {
	net, done int64
	short     bool // the last word on it was a refusal
}

// legs are a window's by its method, in force with its figures.
func (w *Sheet) legs() (map[Pair]*leg, error) {
	nets := map[Pair]*leg{}
	put := func(pair Pair, minor int64) error {
		if nets[pair] == nil {
			nets[pair] = &leg{}
		}
		return add(&nets[pair].net, minor)
	}
	if w.Method == multilateral {
		for a, f := range w.Figures {
			if err := put(Pair{a.Participant, "", a.Currency}, f.Net); err != nil {
				return nil, err
			}
		}
		return nets, nil
	}
	for pair, cell := range w.Matrix {
		minor := cell.Gross
		if pair.Debtor == pair.Creditor {
			continue
		}
		if w.Method == bilateral && pair.Debtor > pair.Creditor {
			pair.Debtor, pair.Creditor, minor = pair.Creditor, pair.Debtor, -minor
		}
		if err := put(pair, minor); err != nil {
			return nil, err
		}
	}
	return nets, nil
}

func (r *recomputing) instruct(l *line) error {
	w, err := r.window(l, "closed")
	if err == nil {
		err = r.whole(w)
	}
	if err != nil {
		return err
	}
	if err := w.named(l); err != nil {
		return err
	}
	legs, err := w.legs()
	w.State = "instructed"
	r.settling[w.Window] = &settling{legs: legs, told: map[string]bool{}, asked: map[string]line{}, again: map[string]line{}, words: map[string]line{}}
	return err
}

// named holds the sheet hash of a line against the window's.
func (w *Sheet) named(l *line) error {
	if l.Sheet != w.Hash {
		return fmt.Errorf("its sheet hash is %.8s, the window's is %.8s", l.Sheet, w.Hash)
	}
	return nil
}

// state says how far an instructed window has come: short as long as a refused leg
// is due, else collecting as long as what a participant has to pay is.
func (s *settling) state() string {
	if s.recasting {
		return "recasting"
	}
	state := "paying"
	for pair, x := range s.legs {
		due, payer := x.net-x.done, pair.Debtor
		if x.net < 0 || (x.net == 0 && x.done < 0) {
			due, payer = -due, pair.Creditor
		}
		if due != 0 && x.short {
			return "short"
		}
		if (due > 0 && payer != "") || (due < 0 && payer == "") {
			state = "collecting"
		}
	}
	return state
}

// telling is what a settle, short or cover line is about: the leg between two, and
// what is still due of it in the line's direction.
type telling struct {
	*settling
	w    *Sheet
	leg  *leg
	pair Pair  // from and to of the line
	sign int64 // of the line's amount in the leg's figures
}

// tell finds the leg that a line speaks of. Nothing more than what is due is moved,
// and nothing under one instruction twice.
func (r *recomputing) tell(l *line, to tongma.ParticipantID) (*telling, error) {
	w, err := r.window(l, "instructed")
	if err != nil {
		return nil, err
	}
	if l.Sheet != "" {
		if err := w.named(l); err != nil {
			return nil, err
		}
	}
	s := r.settling[w.Window]
	currency, _ := tongma.CurrencyByCode(l.Currency)
	t := &telling{s, w, nil, Pair{l.Debtor, to, currency}, 1}
	word := l.Kind + " " + l.Ref
	switch {
	case s.recasting:
		return nil, fmt.Errorf("payments were taken out, and the sheet is not drawn up anew")
	case l.Ref != "" && s.told[word]:
		return nil, fmt.Errorf("the instruction was answered before")
	case l.Minor <= 0:
		return nil, fmt.Errorf("%d are no amount", l.Minor)
	}
	s.told[word] = true
	turned := Pair{t.pair.Creditor, t.pair.Debtor, currency}
	if x := s.legs[t.pair]; x != nil && x.net > x.done {
		t.leg = x
	} else if x := s.legs[turned]; x != nil && x.net < x.done {
		t.leg, t.sign = x, -1
	}
	if t.leg == nil || l.Minor > t.due() {
		return nil, fmt.Errorf("no leg of %d %s from %q to %q is due", l.Minor, l.Currency, t.pair.Debtor, t.pair.Creditor)
	}
	return t, t.inTurn(l)
}

func (t *telling) due() int64 { return t.sign * (t.leg.net - t.leg.done) }

// confirm takes what was paid off a leg, and off the positions of its sides.
func (r *recomputing) confirm(t *telling, minor int64) error {
	t.leg.done += t.sign * minor
	t.leg.short = t.leg.short && t.due() != 0
	return r.move(Pair{t.pair.Creditor, t.pair.Debtor, t.pair.Currency}, minor)
}

func (r *recomputing) settle(l *line) error {
	t, err := r.tell(l, l.Creditor)
	switch {
	case err != nil:
		return err
	case l.Ref == "" && l.Minor != t.due():
		return fmt.Errorf("a part of %d of the %d that are due, without an instruction", l.Minor, t.due())
	case l.Debtor == "" && t.collecting(t.pair.Currency):
		return fmt.Errorf("a creditor is paid before the last debtor has paid")
	}
	if err := t.shared(l, false); err != nil {
		return err
	}
	return r.confirm(t, l.Minor)
}

// collecting tells whether a debtor has yet to pay into the settlement account.
func (s *settling) collecting(c tongma.Currency) bool {
	for pair, x := range s.legs {
		if pair.Creditor == "" && pair.Currency == c && x.net > x.done {
			return true
		}
	}
	return false
}

// short takes the agent's refusal of a debit: its debtor's debits are blocked.
func (r *recomputing) short(l *line) error {
	if l.Debtor == "" || l.Ref == "" {
		return fmt.Errorf("it names no debtor or no instruction")
	}
	t, err := r.tell(l, l.Creditor)
	if err == nil {
		err = t.shared(l, true)
	}
	if err != nil {
		return err
	}
	t.leg.short = true
	r.suspended[l.Debtor] = true
	return nil
}

// cover takes what somebody else paid for who is short, who owes it from here on in
// the open window; or its own prefunding, which is less from here on.
func (r *recomputing) cover(l *line) error {
	payee := tongma.ParticipantID(l.Asker)
	t, err := r.tell(l, payee)
	switch {
	case err != nil:
		return err
	case l.Debtor == "" || l.Ref == "" || l.Creditor == "" || l.Creditor == payee:
		return fmt.Errorf("it names no debtor, no payer or no instruction")
	case r.sponsors[l.Creditor] != "":
		return fmt.Errorf("%s settles through another", l.Creditor)
	case !t.leg.short:
		return fmt.Errorf("%s was not found short", l.Debtor)
	}
	if err := t.answered(l); err != nil {
		return err
	}
	if err := r.confirm(t, l.Minor); err != nil {
		return err
	}
	debtor := r.standing(Account{l.Debtor, t.pair.Currency})
	if l.Creditor == l.Debtor {
		if debtor.Prefunding -= l.Minor; debtor.Prefunding < 0 {
			return fmt.Errorf("%s has prefunded %d", l.Debtor, debtor.Prefunding+l.Minor)
		}
		return nil
	}
	owed := Pair{l.Debtor, l.Creditor, t.pair.Currency}
	if err := r.move(owed, l.Minor); err != nil {
		return err
	}
	open := r.open[t.w.Model]
	r.owed[owedFor{open, l.Ref}] = append(r.owed[owedFor{open, l.Ref}], owes{owed, l.Minor})
	return open.put(owed, Cell{l.Minor, 0})
}

// deferred moves a payment, with its fees and what was turned back of it, out of a
// window that cannot settle into the open one. Positions stay.
func (r *recomputing) deferred(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	p, s, open := r.payments[l.Payment], r.settling[w.Window], r.open[w.Model]
	if p == nil {
		return r.deferDebt(l, w, s)
	}
	switch {
	case p.window != w && p.back != w:
		return fmt.Errorf("the window does not hold the payment")
	case l.Debtor != p.Debtor || l.Creditor != p.Creditor || l.Currency != p.Currency || l.Minor != p.paid:
		return fmt.Errorf("it says another payment than was posted")
	case tongma.WindowID(l.Auth) != open.Window:
		return fmt.Errorf("it goes to window %d while %d is open", l.Auth, open.Window)
	}
	own := []tongma.Currency{p.currency}
	if p.Dealer != "" {
		own = append(own, p.target)
	}
	if err := s.leaves(l, l.Ref, own...); err != nil {
		return err
	}
	if p.window == w {
		p.window = open
		err = r.handOver(w, open, p, false, p.fees)
	}
	if err == nil && p.back == w {
		p.back = open
		err = r.handOver(w, open, p, true, wayBack(p.fees))
	}
	return err
}

func (s *settling) anyShort(c tongma.Currency) bool {
	for pair, x := range s.legs {
		if pair.Currency == c && x.short && x.net != x.done {
			return true
		}
	}
	return false
}

// handOver takes a posting out of a window and puts it into another.
func (r *recomputing) handOver(w, to *Sheet, p *tracked, back bool, fees []fee) error {
	for pair, m := range p.movements(back, fees) {
		if err := r.count(w, pair, Cell{-m.Gross, -m.Count}); err != nil {
			return err
		}
		if err := r.count(to, pair, m); err != nil {
			return err
		}
	}
	return nil
}

// recast draws the sheet up anew. What was paid stays paid: a leg of which more was
// paid than is due now runs the other way.
func (r *recomputing) recast(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	s := r.settling[w.Window]
	if !s.recasting {
		return fmt.Errorf("nothing left the window")
	}
	if err := w.figure(); err != nil {
		return err
	}
	if err := w.named(l); err != nil {
		return err
	}
	return s.redraw(w)
}

// redraw takes the legs from the window's figures as they are now.
func (s *settling) redraw(w *Sheet) error {
	legs, err := w.legs()
	for pair, was := range s.legs {
		if legs[pair] == nil && was.done != 0 {
			legs[pair] = &leg{}
		}
		if x := legs[pair]; x != nil {
			x.done = was.done
		}
	}
	s.legs, s.recasting, s.recastOf = legs, false, ""
	return err
}

func (r *recomputing) settled(l *line) error {
	if w, err := r.window(l, "closed"); err == nil && r.shards.links[w.Window] != 0 {
		return r.followed(l, w)
	}
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	if err := w.named(l); err != nil {
		return err
	}
	s := r.settling[w.Window]
	left := 0
	for _, x := range s.legs {
		if x.net != x.done {
			left++
		}
	}
	if left > 0 || s.recasting {
		return fmt.Errorf("%d legs are not confirmed", left)
	}
	w.State = "settled"
	for a, part := range w.memos {
		r.standing(a).MemoPosition -= part.minor
	}
	return nil
}
