package clearing

import (
	"slices"

	"github.com/tongma/tongma"
)

// clerk is what the entries of a path add up to, without the Book and without the
// audit: sums and lists, as it was done on paper.
type clerk struct {
	position, reserved, cap, prefunded map[auditAccount]int64
	blocked                            map[tongma.ParticipantID]bool
	agent                              map[tongma.Currency]int64 // collected, not paid out
	payments                           map[tongma.PaymentID]*clerkPayment
	windows                            []*clerkWindow // the last one is open
}

type clerkPayment struct {
	first               Entry
	phase               Kind
	posted              bool
	captured            int64
	window              tongma.WindowID
	refunded, refunding int64
}

type clerkWindow struct {
	state           WindowState
	matrix          map[[2]auditAccount]Obligation
	collected, paid map[auditAccount]int64
}

func clerkOf(es []Entry) *clerk {
	t := &clerk{position: map[auditAccount]int64{}, reserved: map[auditAccount]int64{}, cap: map[auditAccount]int64{}, prefunded: map[auditAccount]int64{},
		blocked: map[tongma.ParticipantID]bool{}, agent: map[tongma.Currency]int64{}, payments: map[tongma.PaymentID]*clerkPayment{}}
	for i := range es {
		t.add(&es[i])
	}
	return t
}

// may returns the rules that e would break if it were written now.
func (t *clerk) may(e *Entry) (faults []string) {
	switch e.Kind {
	case KindHold:
		k := auditAccount{e.Debtor, e.Amount.Currency}
		if limit, capped := t.cap[k]; !capped || t.blocked[e.Debtor] || t.position[k]+t.reserved[k]+e.Amount.Minor > limit+t.prefunded[k] {
			faults = append(faults, ruleLimit)
		}
		if o := t.payments[e.Original]; e.Op == tongma.OpRefund && (o == nil || o.phase != KindPost || o.refunded+o.refunding+e.Amount.Minor > o.captured) {
			faults = append(faults, ruleRefund)
		}
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		p := t.payments[e.Payment]
		if p == nil || !p.mayBecome(e) {
			return append(faults, ruleEnd)
		}
		if e.Kind == KindReversing && p.refunded+p.refunding > 0 {
			faults = append(faults, ruleRefund)
		}
		if moves := e.Kind == KindPost || (e.Kind == KindReversed && p.posted); moves && int(e.Window) != len(t.windows) {
			faults = append(faults, ruleWindow)
		}
	}
	return faults
}

func (p *clerkPayment) mayBecome(e *Entry) bool {
	open := p.phase == KindHold || p.phase == KindPend
	switch e.Kind {
	case KindPost:
		return open && e.Amount.Currency == p.first.Amount.Currency && e.Amount.Minor > 0 && e.Amount.Minor <= p.first.Amount.Minor
	case KindExpire:
		return p.phase == KindHold && p.first.Expiry != 0 && e.Time > p.first.Expiry
	case KindReversing:
		return open || p.phase == KindPost
	case KindReversed:
		return p.phase == KindReversing
	}
	return open && e.Kind != p.phase
}

func (t *clerk) add(e *Entry) {
	k := auditAccount{e.Debtor, e.Amount.Currency}
	switch e.Kind {
	case KindCap, KindCapApproved:
		t.cap[k] = e.Amount.Minor
	case KindDeposit:
		t.prefunded[k] += e.Amount.Minor
	case KindWithdraw:
		t.prefunded[k] -= e.Amount.Minor
	case KindSuspend, KindResume:
		t.blocked[e.Debtor] = e.Kind == KindSuspend
	case KindHold, KindRefuse, KindTombstone:
		t.payments[e.Payment] = &clerkPayment{first: *e, phase: e.Kind}
		if e.Kind == KindHold {
			t.reserved[k] += e.Amount.Minor
			t.refunds(e, e.Amount.Minor, 0)
		}
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		t.change(e)
	case KindOpen, KindClose:
		if e.Kind == KindClose {
			t.windows[len(t.windows)-1].state = WindowClosed
		}
		t.windows = append(t.windows, &clerkWindow{matrix: map[[2]auditAccount]Obligation{}, collected: map[auditAccount]int64{}, paid: map[auditAccount]int64{}})
	case KindInstruct:
		t.windows[e.Window-1].state = WindowInstructed
	case KindSettled:
		t.windows[e.Window-1].state = WindowSettled
	case KindSettle:
		t.settle(e)
	}
}

// refunds adds to what is under way and what is given back of a refund's original.
func (t *clerk) refunds(e *Entry, underWay, given int64) {
	if o := t.payments[e.Original]; o != nil && e.Op == tongma.OpRefund {
		o.refunding += underWay
		o.refunded += given
	}
}

func (t *clerk) change(e *Entry) {
	p := t.payments[e.Payment]
	first := &p.first
	held := auditAccount{first.Debtor, first.Amount.Currency}
	switch {
	case e.Kind == KindPost:
		p.posted, p.captured, p.window = true, e.Amount.Minor, tongma.WindowID(len(t.windows))
		t.reserved[held] -= first.Amount.Minor
		t.refunds(first, -first.Amount.Minor, e.Amount.Minor)
		t.move(first.Debtor, first.Creditor, e.Amount, false)
	case e.Kind == KindReversed && p.posted:
		t.move(first.Creditor, first.Debtor, tongma.Money{Minor: p.captured, Currency: first.Amount.Currency}, false)
	case e.Kind == KindVoid, e.Kind == KindExpire, e.Kind == KindReversed:
		t.reserved[held] -= first.Amount.Minor
		t.refunds(first, -first.Amount.Minor, 0)
	}
	for _, l := range e.Legs {
		t.move(l.From, l.To, l.Amount, true)
	}
	p.phase = e.Kind
}

func (t *clerk) move(from, to tongma.ParticipantID, m tongma.Money, fee bool) {
	payer, payee := auditAccount{from, m.Currency}, auditAccount{to, m.Currency}
	t.position[payer] += m.Minor
	t.position[payee] -= m.Minor
	w := t.windows[len(t.windows)-1]
	o := w.matrix[[2]auditAccount{payer, payee}]
	o.Debtor, o.Creditor, o.Currency = from, to, m.Currency
	o.Gross += m.Minor
	if fee {
		o.Fees += m.Minor
	} else {
		o.Count++
	}
	w.matrix[[2]auditAccount{payer, payee}] = o
}

func (t *clerk) settle(e *Entry) {
	w, c := t.windows[e.Window-1], e.Amount.Currency
	if e.Debtor != "" {
		w.collected[auditAccount{e.Debtor, c}] += e.Amount.Minor
		t.position[auditAccount{e.Debtor, c}] -= e.Amount.Minor
		t.agent[c] += e.Amount.Minor
		return
	}
	w.paid[auditAccount{e.Creditor, c}] += e.Amount.Minor
	t.position[auditAccount{e.Creditor, c}] += e.Amount.Minor
	t.agent[c] -= e.Amount.Minor
}

// check returns the rules that the Book breaks, held against the clerk.
func (t *clerk) check(b *Book) (faults []string) {
	fault := func(rule string, broken bool) {
		if broken && !slices.Contains(faults, rule) {
			faults = append(faults, rule)
		}
	}
	sums := map[tongma.Currency]int64{}
	for _, p := range b.Positions() {
		k := auditAccount{p.Participant, p.Currency}
		sums[p.Currency] += p.Position
		limit, capped := t.cap[k]
		fault(ruleReserved, p.Reserved < 0 || p.Reserved != t.reserved[k])
		fault(rulePosition, p.Position != t.position[k])
		fault(ruleLimit, p.Cap != limit || p.Capped != capped || p.Prefunded != t.prefunded[k] || p.Suspended != t.blocked[p.Participant])
	}
	for c, sum := range sums {
		fault(ruleZero, sum+t.agent[c] != 0)
	}
	for id, x := range t.payments {
		p, ok := b.Payment(id)
		fault(ruleEnd, !ok || p.Phase != x.phase || p.Posted != x.posted || p.Captured != x.captured)
		fault(ruleWindow, p.Window != x.window)
		fault(ruleRefund, p.Refunded != x.refunded || p.Refunding != x.refunding || (p.Posted && p.Refunded+p.Refunding > p.Captured))
	}
	sheets := b.Sheets(0)
	fault(ruleWindow, len(sheets) != len(t.windows))
	for i := range min(len(sheets), len(t.windows)) {
		t.windows[i].check(&sheets[i], fault)
	}
	return faults
}

func (w *clerkWindow) check(s *Sheet, fault func(string, bool)) {
	fault(ruleSettled, s.State != w.state)
	fault(ruleWindow, len(s.Matrix) != len(w.matrix))
	nets, sums := map[auditAccount]int64{}, map[tongma.Currency]int64{}
	for _, o := range s.Matrix {
		payer, payee := auditAccount{o.Debtor, o.Currency}, auditAccount{o.Creditor, o.Currency}
		fault(ruleWindow, o != w.matrix[[2]auditAccount{payer, payee}])
	}
	for k, o := range w.matrix {
		nets[k[0]] += o.Gross
		nets[k[1]] -= o.Gross
	}
	fault(ruleNet, len(s.Nets) != len(nets))
	for _, n := range s.Nets {
		k := auditAccount{n.Participant, n.Currency}
		sums[n.Currency] += n.Net
		row := int64(0)
		for _, o := range s.Matrix {
			if o.Currency == n.Currency && o.Debtor == n.Participant {
				row += o.Gross
			}
			if o.Currency == n.Currency && o.Creditor == n.Participant {
				row -= o.Gross
			}
		}
		fault(ruleNet, n.Net != nets[k] || n.Net != row)
		done := w.collected[k] - w.paid[k]
		fault(ruleSettled, done != 0 && done != n.Net)
		fault(ruleSettled, w.state == WindowSettled && done != n.Net)
	}
	for c, sum := range sums {
		in, out := int64(0), int64(0)
		for k, minor := range w.collected {
			if k.currency == c {
				in += minor
			}
		}
		for k, minor := range w.paid {
			if k.currency == c {
				out += minor
			}
		}
		fault(ruleNet, sum != 0)
		fault(ruleSettled, out > in || (w.state == WindowSettled && in != out))
	}
}
