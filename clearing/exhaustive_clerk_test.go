package clearing

import (
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes/calendar"
)

// clerk is what the entries of a path add up to, without the Book and without the
// audit: sums and lists, as it was done on paper.
type clerk struct {
	position, reserved, cap, prefunded map[auditAccount]int64
	blocked                            map[tongma.ParticipantID]bool
	agent                              map[tongma.Currency]int64 // collected, not paid out
	payments                           map[tongma.PaymentID]*clerkPayment
	windows                            []*clerkWindow
	open                               map[string]*clerkWindow // by model
	disputes                           map[tongma.PaymentID]*clerkDispute
	sponsors                           map[tongma.ParticipantID]tongma.ParticipantID
}

type clerkDispute struct {
	of       *clerkPayment
	first    Entry
	stage    dispute.Stage
	deadline int64
	maker    string
	window   *clerkWindow
	fees     []Leg
}

type clerkPayment struct {
	first                 Entry
	phase                 Kind
	posted                bool
	captured              int64
	fees                  []Leg
	window, back          *clerkWindow
	refunded, refunding   int64
	disputed, chargedBack int64 // in open disputes, and charged back
}

type clerkWindow struct {
	id     tongma.WindowID
	model  string
	method calendar.Model
	state  WindowState
	matrix map[[2]auditAccount]Obligation
	done   map[auditAccount]int64 // paid, less what it was paid
	agent  map[tongma.Currency]int64
	recast bool                   // at least once
	memo   map[auditAccount]int64 // movements by who was named, whoever settled
	owed   []Entry                // covers
}

func clerkOf(es []Entry) *clerk {
	t := &clerk{position: map[auditAccount]int64{}, reserved: map[auditAccount]int64{}, cap: map[auditAccount]int64{}, prefunded: map[auditAccount]int64{},
		blocked: map[tongma.ParticipantID]bool{}, agent: map[tongma.Currency]int64{}, payments: map[tongma.PaymentID]*clerkPayment{}, open: map[string]*clerkWindow{}, sponsors: map[tongma.ParticipantID]tongma.ParticipantID{}, disputes: map[tongma.PaymentID]*clerkDispute{}}
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
		via := t.via(k)
		if limit, capped := t.cap[via]; !capped || t.blocked[e.Debtor] || t.blocked[via.who] || t.position[via]+t.reserved[via]+e.Amount.Minor > limit+t.prefunded[via] {
			faults = append(faults, ruleLimit)
		}
		if limit, capped := t.cap[k]; via != k && (!capped || t.memo(k)+t.memoHeld(k)+e.Amount.Minor > limit+t.prefunded[k]) {
			faults = append(faults, ruleLimit)
		}
		if k := (auditAccount{e.Dealer, e.Target.Currency}); e.Dealer != "" && t.position[k]+t.reserved[k]+e.Target.Minor > t.cap[k]+t.prefunded[k] {
			faults = append(faults, ruleLimit)
		}
		if o := t.payments[e.Original]; e.Op == tongma.OpRefund && (o == nil || o.phase != KindPost || o.refunded+o.refunding+o.disputed+o.chargedBack+e.Amount.Minor > o.whole()) {
			faults = append(faults, ruleRefund)
		}
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		p := t.payments[e.Payment]
		if p == nil || !p.mayBecome(e) {
			return append(faults, ruleEnd)
		}
		if e.Kind == KindReversing && p.refunded+p.refunding+p.disputed+p.chargedBack > 0 {
			faults = append(faults, ruleRefund)
		}
		if moves := e.Kind == KindPost || (e.Kind == KindReversed && p.posted); moves && (t.open[p.first.Model] == nil || e.Window != t.open[p.first.Model].id) {
			faults = append(faults, ruleWindow)
		}
	case KindSettle, KindCover:
		if w := t.windows[e.Window-1]; w.state != WindowInstructed {
			faults = append(faults, ruleSettled)
		}
		if k := (auditAccount{e.Debtor, e.Amount.Currency}); e.Kind == KindCover && e.Creditor == e.Debtor && t.prefunded[k] < e.Amount.Minor {
			faults = append(faults, ruleLimit)
		}
	case KindDispute:
		if o := t.payments[e.Original]; o == nil || o.phase != KindPost || o.refunded+o.refunding+o.disputed+o.chargedBack+e.Amount.Minor > o.whole() || e.Asker != o.first.Debtor {
			faults = append(faults, ruleDispute)
		}
	case KindDisputeStep:
		if d := t.disputes[e.Payment]; d == nil || d.stage.Final() || !d.may(e) {
			faults = append(faults, ruleDispute)
		}
	case KindDefer:
		if w := t.windows[e.Window-1]; t.payments[e.Payment] == nil {
			d := t.disputes[e.Payment]
			if (d == nil && !slices.ContainsFunc(w.owed, func(o Entry) bool { return o.SchemeRef == e.SchemeRef })) || (d != nil && d.window != w) {
				faults = append(faults, ruleWindow)
			}
		} else if p := t.payments[e.Payment]; p == nil || (p.window != t.windows[e.Window-1] && p.back != t.windows[e.Window-1]) {
			faults = append(faults, ruleWindow)
		}
	}
	return faults
}

// may tells whether a step is taken by somebody whose it can be, in time.
func (d *clerkDispute) may(e *Entry) bool {
	late := d.deadline != 0 && e.Time > d.deadline
	raiser, respondent := e.Asker == d.of.first.Debtor, e.Asker == d.of.first.Creditor
	switch e.Stage {
	case dispute.Accepted:
		return respondent && (!late || d.stage == dispute.Arbitration)
	case dispute.Represented:
		return respondent && !late && d.stage == dispute.Raised
	case dispute.PreArbitration:
		return raiser && !late && d.stage == dispute.Represented
	case dispute.Withdrawn:
		return raiser && (!late || d.stage == dispute.Arbitration)
	case dispute.DeemedAccepted:
		return e.Asker == "" && late && (d.stage == dispute.Raised || d.stage == dispute.PreArbitration)
	case dispute.DeemedWithdrawn:
		return e.Asker == "" && late && d.stage == dispute.Represented
	case dispute.Arbitration:
		return (respondent && !late && d.stage == dispute.PreArbitration) || (e.Checker != "" && e.Checker != d.maker && d.stage.Turn() == dispute.Operator)
	case dispute.UpholdProposed, dispute.RejectProposed:
		return e.Asker == "" && e.Maker != "" && d.stage == dispute.Arbitration
	case dispute.Upheld:
		return e.Asker == "" && e.Checker != "" && e.Checker != d.maker && d.stage == dispute.UpholdProposed
	case dispute.Rejected:
		return e.Asker == "" && e.Checker != "" && e.Checker != d.maker && d.stage == dispute.RejectProposed
	}
	return false
}

// paid lists what a payment moves besides its fees.
func (p *clerkPayment) paid(minor int64) []Leg {
	f := &p.first
	if f.Dealer == "" {
		return []Leg{{From: f.Debtor, To: f.Creditor, Amount: tongma.Money{Minor: minor, Currency: f.Amount.Currency}}}
	}
	return []Leg{{From: f.Debtor, To: f.Dealer, Amount: f.Amount}, {From: f.Dealer, To: f.Creditor, Amount: f.Target}}
}

// whole is what may go back of a payment.
func (p *clerkPayment) whole() int64 {
	if p.first.Dealer != "" {
		return p.first.Target.Minor
	}
	return p.captured
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
	case KindSponsor:
		if t.sponsors[e.Debtor] = e.Creditor; e.Creditor == "" {
			delete(t.sponsors, e.Debtor)
		}
	case KindSuspend, KindResume:
		t.blocked[e.Debtor] = e.Kind == KindSuspend
	case KindHold, KindRefuse, KindTombstone:
		t.payments[e.Payment] = &clerkPayment{first: *e, phase: e.Kind}
		if e.Kind == KindHold {
			t.reserve(e, 1)
			t.refunds(e, e.Amount.Minor, 0)
		}
	case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
		t.change(e)
	case KindOpen, KindClose:
		if e.Kind == KindClose {
			t.open[e.Model].state = WindowClosed
		}
		w := &clerkWindow{id: tongma.WindowID(len(t.windows) + 1), model: e.Model, method: e.Method, matrix: map[[2]auditAccount]Obligation{}, done: map[auditAccount]int64{}, agent: map[tongma.Currency]int64{}}
		t.windows = append(t.windows, w)
		t.open[e.Model] = w
	case KindInstruct:
		t.windows[e.Window-1].state = WindowInstructed
	case KindSettled:
		t.windows[e.Window-1].state = WindowSettled
	case KindSettle:
		t.settle(e, e.Creditor)
	case KindDispute:
		o := t.payments[e.Original]
		o.disputed += e.Amount.Minor
		t.disputes[e.Payment] = &clerkDispute{of: o, first: *e, stage: dispute.Raised, deadline: e.Expiry}
	case KindDisputeStep:
		d := t.disputes[e.Payment]
		if d.stage, d.deadline, d.maker = e.Stage, e.Expiry, e.Maker; e.Stage.Final() {
			d.of.disputed -= d.first.Amount.Minor
		}
		if e.Stage == dispute.Accepted || e.Stage == dispute.DeemedAccepted || e.Stage == dispute.Upheld {
			d.of.chargedBack += d.first.Amount.Minor
			to := d.of.first.Debtor
			if dealer := d.of.first.Dealer; dealer != "" {
				t.move(t.open[d.first.Model], dealer, to, d.first.Target, owing)
				to = dealer
			}
			t.move(t.open[d.first.Model], d.of.first.Creditor, to, d.first.Amount, owing)
			for _, l := range e.Legs {
				t.move(t.open[d.first.Model], l.From, l.To, l.Amount, fees)
			}
			d.window, d.fees = t.open[d.first.Model], e.Legs
		}
	case KindShort:
		t.blocked[e.Debtor] = true
	case KindCover:
		t.settle(e, e.Asker)
		if e.Creditor == e.Debtor {
			t.prefunded[k] -= e.Amount.Minor
		} else {
			to := t.open[t.windows[e.Window-1].model]
			t.move(to, e.Debtor, e.Creditor, e.Amount, owing)
			to.owed = append(to.owed, *e)
		}
	case KindDefer:
		t.postpone(e)
	}
}

// postpone moves what a window holds of a payment to the open one of its model.
func (t *clerk) postpone(e *Entry) {
	p, from := t.payments[e.Payment], t.windows[e.Window-1]
	to := t.open[from.model]
	from.recast = true
	if p == nil {
		t.postponeDebt(e, from, to)
		return
	}
	shift := func(turned bool) {
		one := func(debtor, creditor tongma.ParticipantID, m tongma.Money, what moved) {
			if turned {
				debtor, creditor = creditor, debtor
			}
			t.cell(to, debtor, creditor, m, what)
			m.Minor = -m.Minor
			t.cell(from, debtor, creditor, m, -what)
		}
		for _, m := range p.paid(p.captured) {
			one(m.From, m.To, m.Amount, posting)
		}
		for _, l := range p.fees {
			one(l.From, l.To, l.Amount, fees)
		}
	}
	if p.window == from {
		shift(false)
		p.window = to
	}
	if p.back == from {
		shift(true)
		p.back = to
	}
}

// postponeDebt moves a chargeback with its fees, or what is owed for a cover.
func (t *clerk) postponeDebt(e *Entry, from, to *clerkWindow) {
	one := func(debtor, creditor tongma.ParticipantID, m tongma.Money, what moved) {
		t.cell(to, debtor, creditor, m, what)
		m.Minor = -m.Minor
		t.cell(from, debtor, creditor, m, -what)
	}
	if d := t.disputes[e.Payment]; d != nil {
		d.window = to
		one(d.of.first.Creditor, d.of.first.Debtor, d.first.Amount, owing)
		for _, l := range d.fees {
			one(l.From, l.To, l.Amount, fees)
		}
		return
	}
	from.owed = slices.DeleteFunc(from.owed, func(o Entry) bool {
		if o.SchemeRef != e.SchemeRef {
			return false
		}
		one(o.Debtor, o.Creditor, o.Amount, owing)
		to.owed = append(to.owed, o)
		return true
	})
}

// reserve holds what a payment may move, or releases it.
func (t *clerk) reserve(e *Entry, sign int64) {
	t.reserved[t.via(auditAccount{e.Debtor, e.Amount.Currency})] += sign * e.Amount.Minor
	if e.Dealer != "" {
		t.reserved[t.via(auditAccount{e.Dealer, e.Target.Currency})] += sign * e.Target.Minor
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
	w := t.open[first.Model]
	switch {
	case e.Kind == KindPost:
		p.posted, p.captured, p.fees, p.window = true, e.Amount.Minor, e.Legs, w
		t.reserve(first, -1)
		t.refunds(first, -first.Amount.Minor, e.Amount.Minor)
		for _, m := range p.paid(e.Amount.Minor) {
			t.move(w, m.From, m.To, m.Amount, posting)
		}
	case e.Kind == KindReversed && p.posted:
		p.back = w
		for _, m := range p.paid(p.captured) {
			t.move(w, m.To, m.From, m.Amount, posting)
		}
	case e.Kind == KindVoid, e.Kind == KindExpire, e.Kind == KindReversed:
		t.reserve(first, -1)
		t.refunds(first, -first.Amount.Minor, 0)
	}
	for _, l := range e.Legs {
		t.move(w, l.From, l.To, l.Amount, fees)
	}
	p.phase = e.Kind
}

// moved is what a movement is of: less than zero, it is taken back.
type moved int

const (
	owing moved = iota
	posting
	fees
)

func (t *clerk) move(w *clerkWindow, from, to tongma.ParticipantID, m tongma.Money, what moved) {
	t.position[t.via(auditAccount{from, m.Currency})] += m.Minor
	t.position[t.via(auditAccount{to, m.Currency})] -= m.Minor
	t.cell(w, from, to, m, what)
}

func (t *clerk) cell(w *clerkWindow, from, to tongma.ParticipantID, m tongma.Money, what moved) {
	if w.memo == nil {
		w.memo = map[auditAccount]int64{}
	}
	w.memo[auditAccount{from, m.Currency}] += m.Minor
	w.memo[auditAccount{to, m.Currency}] -= m.Minor
	from, to = t.via(auditAccount{from, m.Currency}).who, t.via(auditAccount{to, m.Currency}).who
	k := [2]auditAccount{{from, m.Currency}, {to, m.Currency}}
	o := w.matrix[k]
	o.Debtor, o.Creditor, o.Currency = from, to, m.Currency
	o.Gross += m.Minor
	switch what {
	case fees, -fees:
		o.Fees += m.Minor
	case posting, -posting:
		o.Count += int64(what)
	}
	if w.matrix[k] = o; o.Gross == 0 {
		delete(w.matrix, k)
	}
}

// via is the account that somebody settles through.
func (t *clerk) via(k auditAccount) auditAccount {
	if sponsor, sub := t.sponsors[k.who]; sub {
		k.who = sponsor
	}
	return k
}

// memo adds up what somebody moved in the windows that are not settled.
func (t *clerk) memo(k auditAccount) (sum int64) {
	for _, w := range t.windows {
		if w.state != WindowSettled {
			sum += w.memo[k]
		}
	}
	return sum
}

func (t *clerk) memoHeld(k auditAccount) (sum int64) {
	for _, p := range t.payments {
		if f := &p.first; f.Debtor == k.who && f.Amount.Currency == k.currency && !p.posted && (p.phase == KindHold || p.phase == KindPend || p.phase == KindReversing) {
			sum += f.Amount.Minor
		}
	}
	return sum
}

func (t *clerk) settle(e *Entry, to tongma.ParticipantID) {
	w, c := t.windows[e.Window-1], e.Amount.Currency
	note := func(who tongma.ParticipantID, minor int64) {
		if who == "" {
			t.agent[c] -= minor
			w.agent[c] -= minor
			return
		}
		w.done[auditAccount{who, c}] += minor
		t.position[auditAccount{who, c}] -= minor
	}
	note(e.Debtor, e.Amount.Minor)
	note(to, -e.Amount.Minor)
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
		fault(ruleLimit, p.Cap != limit || p.Capped != capped || p.Prefunded != t.prefunded[k] || p.Suspended != (t.blocked[p.Participant] || t.blocked[t.via(k).who]))
		if _, sub := t.sponsors[p.Participant]; sub {
			fault(rulePosition, p.MemoPosition != t.memo(k) || p.MemoReserved != t.memoHeld(k) || p.Sponsor != t.via(k).who)
		}
	}
	held := b.WithAgents()
	for c, sum := range sums {
		fault(ruleZero, sum+t.agent[c] != 0 || held[c] != t.agent[c])
	}
	for id, x := range t.payments {
		p, ok := b.Payment(id)
		fault(ruleEnd, !ok || p.Phase != x.phase || p.Posted != x.posted || p.Captured != x.captured)
		fault(ruleWindow, p.Window != x.window.number() || p.BackWindow != x.back.number())
		fault(ruleRefund, p.Refunded != x.refunded || p.Refunding != x.refunding || (p.Posted && p.Refunded+p.Refunding+p.Disputed+p.ChargedBack > x.whole()))
		fault(ruleDispute, p.Disputed != x.disputed || p.ChargedBack != x.chargedBack)
	}
	for id, x := range t.disputes {
		d, ok := b.Dispute(id)
		fault(ruleDispute, !ok || d.Stage != x.stage || d.Deadline != x.deadline || d.Amount != x.first.Amount)
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
		done := w.done[k]
		within := min(n.Net, 0) <= done && done <= max(n.Net, 0)
		fault(ruleSettled, !within && !w.recast && w.method == 0)
		fault(ruleSettled, w.state == WindowSettled && done != n.Net)
	}
	for k, done := range w.done {
		fault(ruleSettled, w.state == WindowSettled && done != nets[k])
	}
	for c, sum := range sums {
		fault(ruleNet, sum != 0)
		fault(ruleSettled, w.agent[c] < 0 || (w.state == WindowSettled && w.agent[c] != 0))
	}
}

func (w *clerkWindow) number() tongma.WindowID {
	if w == nil {
		return 0
	}
	return w.id
}
