package sim

import (
	"math/big"
	"slices"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// quarrel is a dispute as the journal tells it.
type quarrel struct {
	first    clearing.Entry
	of       *record
	stage    string
	deadline int64
	maker    string
	over     bool
}

// moves lists what may come behind a stage of a dispute, and by whom: r raises, a
// answers, o is the operator, c the clock.
var moves = map[string]string{
	"raised":          " a:accepted a:represented r:withdrawn c:deemed-accepted ",
	"represented":     " r:withdrawn r:pre-arbitration a:accepted c:deemed-withdrawn ",
	"pre-arbitration": " a:accepted a:arbitration r:withdrawn c:deemed-accepted ",
	"arbitration":     " a:accepted r:withdrawn o:uphold-proposed o:reject-proposed ",
	"uphold-proposed": " o:upheld o:arbitration ",
	"reject-proposed": " o:rejected o:arbitration ",
}

// timed are the stages in which somebody gives in by waiting.
var timed = map[string]bool{"raised": true, "represented": true, "pre-arbitration": true}

// pays are the ends by which the money goes back.
var pays = map[string]bool{"accepted": true, "deemed-accepted": true, "upheld": true}

var stageFeatures = map[string]Feature{"represented": Represented, "pre-arbitration": PreArbitrated, "arbitration": Arbitrated, "upheld": Ruled, "rejected": Ruled,
	"withdrawn": Withdrawal, "deemed-accepted": DeemedAccepted, "deemed-withdrawn": DeemedWithdrawn}

// quarrel is a dispute that is raised, or that goes on.
func (o *oracle) quarrel(e *clearing.Entry) {
	if e.Kind == clearing.KindDisputeStep {
		o.goesOn(e)
		return
	}
	k := slot(e.Asker, e.Key)
	_, twice := o.keys[k]
	of := o.payments[e.Original]
	if twice || o.payments[e.Payment] != nil || of == nil {
		o.fail("dispute", "entry %d disputes what is not there, or under a key or an id used before", e.Number)
		return
	}
	f := &of.first
	if e.Stage.String() != "raised" || e.Asker != f.Debtor || e.Debtor != f.Debtor || e.Creditor != f.Creditor || e.Model != disputeModel || e.Expiry == 0 {
		o.fail("dispute", "entry %d raises a dispute of %s about what %s paid %s", e.Number, e.Asker, f.Debtor, f.Creditor)
	}
	if of.phase != clearing.KindPost || f.Op == tongma.OpRefund || of.gone()+e.Amount.Minor > of.given() {
		o.fail("dispute", "entry %d disputes %d of a payment that cannot bear it", e.Number, e.Amount.Minor)
	}
	o.note(Disputed, true)
	if f.Dealer != "" {
		o.note(CrossDisputed, true)
		o.proportion(e, of)
	}
	q := &quarrel{first: *e, of: of, stage: "raised", deadline: e.Expiry}
	of.disputed += e.Amount.Minor
	of.other[2] += e.Target.Minor
	o.keys[k] = e.Payment
	o.disputes[e.Payment] = q
	o.quarrels = append(o.quarrels, q)
}

// goesOn is a step of a dispute.
func (o *oracle) goesOn(e *clearing.Entry) {
	q := o.disputes[e.Payment]
	if q == nil {
		o.fail("dispute", "entry %d goes on with a dispute that is not there", e.Number)
		return
	}
	who, stage := o.actor(e, q), e.Stage.String()
	late := timed[q.stage] && q.deadline != 0 && e.Time > q.deadline
	if !strings.Contains(moves[q.stage], " "+who+":"+stage+" ") || late != (who == "c") {
		o.fail("dispute", "entry %d: from %s to %s by %s, late: %t", e.Number, q.stage, stage, who, late)
		return
	}
	o.people(e, q, stage)
	o.note(stageFeatures[stage], stageFeatures[stage] != 0)
	q.stage, q.deadline = stage, e.Expiry
	if _, open := moves[stage]; open {
		if timed[stage] && e.Expiry == 0 {
			o.fail("dispute", "entry %d gives no deadline", e.Number)
		}
		return
	}
	q.over = true
	f, of := &q.first, q.of
	of.disputed -= f.Amount.Minor
	of.other[2] -= f.Target.Minor
	w := o.current(disputeModel)
	if !pays[stage] {
		if e.Window != 0 {
			o.fail("dispute", "entry %d moves money, and the dispute is lost", e.Number)
		}
		return
	}
	if w == nil || e.Window != w.id {
		o.fail("window", "entry %d charges back into window %d, which is not the disputes' open one", e.Number, e.Window)
		return
	}
	o.note(ChargedBack, true)
	o.note(RefundAndChargeback, of.refunded > 0)
	of.charged += f.Amount.Minor
	of.other[3] += f.Target.Minor
	owe := func(from, to tongma.ParticipantID, m tongma.Money) {
		o.shift(w, from, to, m, nil).debt = e.Payment.String()
	}
	if d := of.first.Dealer; d != "" {
		owe(f.Creditor, d, f.Amount)
		owe(d, f.Debtor, f.Target)
	} else {
		owe(f.Creditor, f.Debtor, f.Amount)
	}
	if e.Op == 0 {
		return
	}
	o.feesBack(e, of, f.Amount.Minor)
	of.feesBack += f.Amount.Minor
	for i := range e.Legs {
		owe(e.Legs[i].From, e.Legs[i].To, e.Legs[i].Amount)
	}
}

// actor tells who takes a step.
func (o *oracle) actor(e *clearing.Entry, q *quarrel) string {
	switch {
	case e.Asker == q.first.Debtor:
		return "r"
	case e.Asker == q.first.Creditor:
		return "a"
	case e.Asker != "":
		return "nobody"
	case strings.HasPrefix(e.Stage.String(), "deemed"):
		return "c"
	}
	return "o"
}

// people holds that two different ones of the operator rule.
func (o *oracle) people(e *clearing.Entry, q *quarrel, stage string) {
	switch {
	case strings.HasSuffix(stage, "proposed"):
		if q.maker = e.Maker; e.Maker == "" {
			o.fail("two people", "entry %d: nobody proposes a ruling", e.Number)
		}
	case strings.HasSuffix(q.stage, "proposed"):
		if e.Checker == "" || strings.EqualFold(strings.TrimSpace(e.Checker), strings.TrimSpace(q.maker)) {
			o.fail("two people", "entry %d: %q decides on the ruling that %q proposed", e.Number, e.Checker, q.maker)
		}
	}
}

// exchanged is a hold in two currencies: what the creditor gets follows from the rate,
// or of a refund from what was paid.
func (o *oracle) exchanged(e *clearing.Entry) {
	o.note(TwoCurrencies, true)
	o.note(CrossSpent, strings.HasSuffix(e.Rate, " source"))
	if e.Op == tongma.OpRefund {
		o.note(CrossRefund, true)
		if of := o.payments[e.Original]; of != nil {
			of.underway -= e.Amount.Minor // it is counted already
			of.other[1] -= e.Target.Minor
			o.proportion(e, of)
			of.underway += e.Amount.Minor
			of.other[1] += e.Target.Minor
		}
		return
	}
	words := strings.Fields(e.Rate)
	if len(words) != 3 || len(words[0]) != 7 {
		o.fail("rate", "entry %d has the rate %q", e.Number, e.Rate)
		return
	}
	given, other := e.Amount, e.Target // both have two decimals
	if words[2] == "target" {
		given, other = other, given
	}
	rate, _ := new(big.Rat).SetString(words[1])
	if words[0][:3] != given.Currency.Code() {
		rate.Inv(rate)
	}
	exact := rate.Mul(rate, big.NewRat(given.Minor, 1))
	want := floor(exact)
	if words[2] == "target" && !exact.IsInt() {
		want++ // the dealer keeps the residue on either side
	}
	if other.Minor != want || e.Dealer != desk || !slices.Contains(o.h.quotes[e.Quote], e.Rate) {
		o.fail("rate", "entry %d gives %v for %v at %s, quote %s, and should %d", e.Number, e.Target, e.Amount, e.Rate, e.Quote, want)
	}
	if o.quotes[e.Quote] {
		o.fail("rate", "entry %d uses quote %s again", e.Number, e.Quote)
	}
	o.quotes[e.Quote] = true
}

func floor(x *big.Rat) int64 { return new(big.Int).Quo(x.Num(), x.Denom()).Int64() }

// proportion holds what of the debtor's money goes back with so much of the
// creditor's: all that is then back is in proportion, rounded down.
func (o *oracle) proportion(e *clearing.Entry, of *record) {
	f := &of.first
	back := floor(big.NewRat((of.gone()+e.Amount.Minor)*f.Amount.Minor, of.given()))
	for _, x := range of.other {
		back -= x
	}
	if e.Dealer != f.Dealer || e.Target != (tongma.Money{Minor: back, Currency: f.Amount.Currency}) {
		o.fail("proportion", "entry %d gives back %v of %v with %v, and should %d", e.Number, e.Target, f.Amount, e.Amount, back)
	}
}
