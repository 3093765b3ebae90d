package clearing

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes"
)

// oracle is the Book in the plainest form there is: lists of what happened, and
// every question answered by going through them from the beginning.
type oracle struct {
	transfers []*transfer
	moves     []movement
	settled   []movement      // who paid whom; nobody is the agent
	words     []spoken        // what the agent said
	short     map[string]bool // legs of windows
	recasting map[int]bool    // windows
	sponsors  map[string]string
	quarrels  []*quarrel
	settledBy map[*quarrel]string // model
	used      []movement          // prefunding that covered a debit
	models    []string            // of windows
	open      map[string]int      // window of each model
	caps      map[string]int64    // in force
	directed  map[string]int64    // what the directory last said
	capNumber map[string]int      // how often the cap was set
	orders    []*orderly
	suspended map[string]bool
	codes     []spentCode
	windows   []string // states
}

type transfer struct {
	key              string
	id               tongma.PaymentID
	op               tongma.Operation
	debtor, creditor string
	currency         tongma.Currency
	amount           int64
	code             string
	original         *transfer
	phase            Kind
	posted           bool
	expiry           int64
	captured         int64
	fees             []Leg
	dealer           string // of two currencies
	target           int64  // that it pays
	targetCurrency   tongma.Currency
	model            string
	seen             map[int]bool // windows that it was in
}

// spoken is one thing that the agent, or who covers, said under an id.
type spoken struct {
	kind            Kind
	window          int
	id              string
	from, to, payer string
	currency        tongma.Currency
	amount          int64
}

// orderly is a proposed cap, a deposit or a withdrawal.
type orderly struct {
	kind, state Kind
	key, who    string
	currency    tongma.Currency
	minor       int64
	maker       string
	seen        int // capNumber when it was proposed
}

type movement struct {
	window   int
	from, to string
	currency tongma.Currency
	amount   int64
	of       *transfer // what was posted, or turned back; fees go with it
	named    [2]string // from and to, before it is said who settles for them
}

type spentCode struct {
	code string
	day  int64
}

// expectation is what the Book has to say.
type expectation struct {
	write  bool
	exists bool
	kind   Kind
	reason tongma.Reason
	alarm  uint8
}

func (o *oracle) position(who string, c tongma.Currency) (sum int64) {
	for _, list := range []struct {
		moves []movement
		sign  int64
	}{{o.moves, 1}, {o.settled, -1}} {
		for _, m := range list.moves {
			if m.currency == c && m.from == who {
				sum += list.sign * m.amount
			}
			if m.currency == c && m.to == who {
				sum -= list.sign * m.amount
			}
		}
	}
	return sum
}

// prefunded goes through what was deposited and withdrawn.
func (o *oracle) prefunded(who string, c tongma.Currency) (sum int64) {
	for _, x := range o.orders {
		switch {
		case x.who != who || x.currency != c:
		case x.kind == KindDeposit:
			sum += x.minor
		case x.kind == KindWithdraw:
			sum -= x.minor
		}
	}
	for _, m := range o.used {
		if m.from == who && m.currency == c {
			sum -= m.amount
		}
	}
	return sum
}

// part is n * done / whole, half to even, the long way round.
func part(n, done, whole int64) int64 {
	for q := int64(0); ; q++ {
		switch over := 2*n*done - 2*q*whole; { // twice what is left of the exact figure, in wholes
		case over < whole, over == whole && q%2 == 0:
			return q
		}
	}
}

// whole is what may go back of a transfer: what its creditor got.
func (x *transfer) whole() (int64, tongma.Currency) {
	if x.dealer != "" {
		return x.target, x.targetCurrency
	}
	return x.captured, x.currency
}

// otherPart is what of its debtor's amount goes back with so much of what its
// creditor got: in sum the proportion, rounded down.
func (o *oracle) otherPart(x *transfer, minor int64) int64 {
	got, paid := minor, int64(0)
	for _, r := range o.transfers {
		if r.original == x && (r.phase == KindPost || r.phase == KindHold || r.phase == KindPend) {
			got, paid = got+r.amount, paid+r.target
		}
	}
	for _, q := range o.quarrels {
		if q.of == x && q.stage != dispute.Withdrawn && q.stage != dispute.DeemedWithdrawn {
			got, paid = got+q.amount, paid+q.other
		}
	}
	return got*x.captured/x.target - paid
}

// feesOf returns the fees that have to go with an entry that x comes to.
func (o *oracle) feesOf(x *transfer, kind Kind, minor int64, given []Leg) (legs []Leg) {
	switch {
	case kind == KindPost && x.op != tongma.OpRefund:
		return given
	case kind == KindPost:
		return o.feesGoBack(x.original, minor)
	case kind == KindReversed && x.posted:
		for _, l := range x.fees {
			legs = append(legs, Leg{l.Kind, l.OnRefund, l.To, l.From, l.Amount})
		}
	}
	return legs
}

// feesGoBack returns the fees that go back with so much of x, refunded or charged back.
func (o *oracle) feesGoBack(x *transfer, minor int64) (legs []Leg) {
	_, before := o.claimed(x)
	for _, r := range o.transfers {
		if r.original == x && r.phase == KindPost {
			before += r.captured
		}
	}
	for _, l := range x.fees {
		whole, _ := x.whole()
		back := part(l.Amount.Minor, before+minor, whole) - part(l.Amount.Minor, before, whole)
		if l.OnRefund == schemes.FeeReturn && back > 0 {
			legs = append(legs, fee(l.Kind, l.OnRefund, l.To, l.From, back))
			legs[len(legs)-1].Amount.Currency = l.Amount.Currency
		}
	}
	return legs
}

func (o *oracle) reserved(who string, c tongma.Currency) (sum int64) {
	for _, x := range o.transfers {
		open := x.phase == KindHold || x.phase == KindPend || (x.phase == KindReversing && !x.posted)
		if open && o.via(x.debtor) == who && x.currency == c {
			sum += x.amount
		}
		if open && x.dealer != "" && o.via(x.dealer) == who && x.targetCurrency == c {
			sum += x.target
		}
	}
	return sum
}

// via is who settles for somebody.
func (o *oracle) via(who string) string {
	if sponsor, sub := o.sponsors[who]; sub {
		return sponsor
	}
	return who
}

// memo is what somebody with a sponsor did and holds.
func (o *oracle) memo(who string, c tongma.Currency) (position, reserved int64) {
	for _, m := range o.moves {
		if m.currency == c && o.windows[m.window-1] != "settled" {
			if m.named[0] == who {
				position += m.amount
			}
			if m.named[1] == who {
				position -= m.amount
			}
		}
	}
	for _, x := range o.transfers {
		open := x.phase == KindHold || x.phase == KindPend || (x.phase == KindReversing && !x.posted)
		if open && x.debtor == who && x.currency == c {
			reserved += x.amount
		}
		if open && x.dealer == who && x.targetCurrency == c {
			reserved += x.target
		}
	}
	return position, reserved
}

// busy tells whether anything of somebody is open.
func (o *oracle) busy(who string) bool {
	_, sub := o.sponsors[who]
	for _, m := range o.moves {
		if o.windows[m.window-1] != "settled" && (m.from == who || m.to == who || sub && (m.named[0] == who || m.named[1] == who)) {
			return true
		}
	}
	for _, c := range []tongma.Currency{tongma.CNY, tongma.JPY} {
		_, reserved := o.memo(who, c)
		if o.reserved(who, c) != 0 || sub && reserved != 0 {
			return true
		}
	}
	return false
}

// refunds returns the sum of the refunds of x that were paid or may yet be.
func (o *oracle) refunds(x *transfer) (sum int64) {
	for _, r := range o.transfers {
		switch {
		case r.original == x && r.phase == KindPost:
			sum += r.captured
		case r.original == x && (r.phase == KindHold || r.phase == KindPend):
			sum += r.amount
		}
	}
	return sum
}

func (o *oracle) net(window int, who string, c tongma.Currency) (sum int64) {
	for _, m := range o.moves {
		if m.window == window && m.currency == c && m.from == who {
			sum += m.amount
		}
		if m.window == window && m.currency == c && m.to == who {
			sum -= m.amount
		}
	}
	return sum
}

func (o *oracle) spent(code string) bool {
	for _, s := range o.codes {
		if s.code == code {
			return true
		}
	}
	return false
}

func (o *oracle) forget(keep func(spentCode) bool) {
	var kept []spentCode
	for _, s := range o.codes {
		if keep(s) {
			kept = append(kept, s)
		}
	}
	o.codes = kept
}

func (o *oracle) byKey(key string) *transfer {
	for _, x := range o.transfers {
		if x.key == key {
			return x
		}
	}
	return nil
}

// ask says what becomes of a new transfer; nil original of a refund is one that
// nobody knows.
func (o *oracle) ask(x *transfer) expectation {
	if was := o.byKey(x.key); was != nil {
		same := expectation{exists: true, kind: KindHold}
		switch {
		case was.op != x.op:
			same.reason = tongma.ExistsOtherOperation
		case was.amount != x.amount:
			same.reason = tongma.ExistsOtherAmount
		case was.currency != x.currency:
			same.reason = tongma.ExistsOtherCurrency
		case was.code != "" && x.code != "" && was.code != x.code:
			same.reason = tongma.ExistsOtherCode
		case was.original != x.original:
			same.reason = tongma.ExistsOtherOriginal
		}
		return same
	}
	reason := o.refusal(x)
	if reason != tongma.NoReason {
		return expectation{write: true, kind: KindRefuse, reason: reason}
	}
	return expectation{write: true, kind: KindHold, alarm: o.alarm(x)}
}

// alarm returns the highest mark that a hold brings its debtor to.
func (o *oracle) alarm(x *transfer) (highest uint8) {
	via := o.via(x.debtor)
	highest = mark(o.position(via, x.currency)+o.reserved(via, x.currency), o.caps[via+x.currency.Code()]+o.prefunded(via, x.currency), x.amount)
	if via != x.debtor {
		position, reserved := o.memo(x.debtor, x.currency)
		highest = max(highest, mark(position+reserved, o.caps[x.debtor+x.currency.Code()]+o.prefunded(x.debtor, x.currency), x.amount))
	}
	return highest
}

// mark returns the highest part of a limit that an amount reaches.
func mark(use, limit, amount int64) (highest uint8) {
	for _, percent := range []int64{50, 75, 90} {
		if use*100 < limit*percent && (use+amount)*100 >= limit*percent {
			highest = uint8(percent)
		}
	}
	if limit == 0 && use < 0 && use+amount == 0 {
		return 90 // all of nothing
	}
	return highest
}

func (o *oracle) refusal(x *transfer) tongma.Reason {
	if x.amount == 0 {
		return tongma.AmountInvalid
	}
	if x.code != "" && o.spent(x.code) {
		return tongma.CodeSpent
	}
	if was := x.original; x.op == tongma.OpRefund {
		switch {
		case was.debtor != x.creditor || was.creditor != x.debtor:
			return tongma.PaymentUnknown
		case was.phase != KindPost || was.op == tongma.OpRefund:
			return tongma.NotRefundable
		}
		whole, c := was.whole()
		if c != x.currency {
			return tongma.CurrencyMismatch
		}
		open, back := o.claimed(was)
		switch left := whole - o.refunds(was) - back - x.amount; {
		case left < 0:
			return tongma.RefundExceeds
		case left < open:
			return tongma.DisputeOpen
		}
	}
	if x.original != nil && x.original.dealer != "" {
		x.dealer, x.targetCurrency = x.original.dealer, x.original.currency
		if x.target = o.otherPart(x.original, x.amount); x.target <= 0 {
			return tongma.AmountInvalid
		}
	}
	if x.dealer != "" {
		if reason := o.beyond(x.dealer, x.target, x.targetCurrency); reason != tongma.NoReason {
			return reason
		}
	}
	return o.beyond(x.debtor, x.amount, x.currency)
}

// beyond says why somebody may not owe so much more.
func (o *oracle) beyond(who string, amount int64, c tongma.Currency) tongma.Reason {
	limit, ok := o.caps[who+c.Code()]
	via := o.via(who)
	total, too := o.caps[via+c.Code()]
	position, reserved := o.memo(who, c)
	switch {
	case !ok || !too:
		return tongma.NoAccount
	case o.suspended[who] || o.suspended[via]:
		return tongma.ParticipantSuspended
	case o.position(via, c)+o.reserved(via, c)+amount > total+o.prefunded(via, c):
		return tongma.OverCap
	case via != who && position+reserved+amount > limit+o.prefunded(who, c):
		return tongma.OverCap
	}
	return tongma.NoReason
}

func (o *oracle) change(x *transfer, kind Kind, now int64, capture tongma.Money) expectation {
	waiting := x.phase == KindHold || x.phase == KindPend
	disputed, back := o.claimed(x)
	allowed := false
	switch kind {
	case KindPend:
		allowed = x.phase == KindHold
	case KindExpire:
		allowed = x.phase == KindHold && x.expiry > 0 && now > x.expiry
	case KindPost, KindVoid:
		allowed = waiting
	case KindReversing:
		allowed = waiting || x.phase == KindPost
	case KindReversed:
		allowed = x.phase == KindReversing
	}
	switch {
	case x.phase == kind && kind == KindPost && capture.Currency != 0 && (capture.Minor != x.captured || capture.Currency != x.currency):
		return expectation{exists: true, kind: kind, reason: tongma.ExistsOtherAmount}
	case x.phase == kind:
		return expectation{exists: true, kind: kind}
	case !allowed && kind == KindExpire && x.phase == KindHold:
		return expectation{kind: kind, reason: tongma.TooEarly}
	case !allowed:
		return expectation{kind: kind, reason: tongma.StateConflict}
	case kind == KindReversing && disputed > 0:
		return expectation{kind: kind, reason: tongma.DisputeOpen}
	case kind == KindReversing && o.refunds(x)+back > 0:
		return expectation{kind: kind, reason: tongma.AlreadyRefunded}
	case kind == KindReversing && x.op == tongma.OpRefund:
		return expectation{kind: kind, reason: tongma.StateConflict}
	case kind == KindPost && capture.Currency != 0 && capture.Currency != x.currency:
		return expectation{kind: kind, reason: tongma.CurrencyMismatch}
	case kind == KindPost && capture.Currency != 0 && x.dealer != "" && capture.Minor != x.amount:
		return expectation{kind: kind, reason: tongma.AmountInvalid}
	case kind == KindPost && capture.Currency != 0 && (capture.Minor < 1 || capture.Minor > x.amount):
		return expectation{kind: kind, reason: tongma.AmountInvalid}
	}
	return expectation{write: true, kind: kind}
}
