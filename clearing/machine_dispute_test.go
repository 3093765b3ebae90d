package clearing

import (
	"fmt"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"pgregory.net/rapid"
)

// quarrel is a dispute, as the oracle keeps it.
type quarrel struct {
	id       tongma.PaymentID
	key      string
	of       *transfer
	amount   int64
	other    int64 // of two currencies: what the debtor gets back
	deadline int64
	stage    dispute.Stage
}

// claimed is what of a transfer is disputed, and what was charged back.
func (o *oracle) claimed(x *transfer) (open, back int64) {
	for _, q := range o.quarrels {
		switch {
		case q.of != x:
		case q.stage == dispute.Accepted || q.stage == dispute.DeemedAccepted:
			back += q.amount
		case q.stage == dispute.Raised || q.stage == dispute.Represented:
			open += q.amount
		}
	}
	return open, back
}

// disputeOne raises a dispute of some payment, or one that stands already.
func (m *machine) disputeOne() {
	if len(m.transfers) == 0 {
		m.rt.Skip()
	}
	x := rapid.SampledFrom(m.transfers).Draw(m.rt, "disputed")
	m.n++
	q := &quarrel{id: testID(m.n), key: fmt.Sprintf("dispute-%d", m.n), of: x, amount: rapid.Int64Range(1, max(1, x.amount, x.target)).Draw(m.rt, "amount"), stage: dispute.Raised}
	whole, c := x.whole()
	if rapid.Bool().Draw(m.rt, "a deadline") {
		q.deadline = m.now + 3_600_000
	}
	raiser, want := rapid.SampledFrom([]string{x.debtor, x.debtor, x.debtor, x.creditor}).Draw(m.rt, "raiser"), expectation{kind: KindDispute}
	open, back := m.claimed(x)
	switch {
	case raiser != x.debtor:
		want.reason = tongma.DisputeTurn
	case x.phase != KindPost || x.op == tongma.OpRefund:
		want.reason = tongma.NotRefundable
	case m.refunds(x)+open+back+q.amount > whole:
		want.reason = tongma.DisputeExceeds
	case x.dealer != "" && m.otherPart(x, q.amount) <= 0:
		want.reason = tongma.AmountInvalid
	case x.dealer != "":
		q.other = m.otherPart(x, q.amount)
		want.write = true
	default:
		want.write = true
	}
	e := Entry{Kind: KindDispute, Payment: q.id, Key: q.key, Original: x.id, Asker: tongma.ParticipantID(raiser), Amount: tongma.Money{Minor: q.amount, Currency: c}, Expiry: q.deadline, Model: m.model()}
	if len(m.quarrels) > 0 && rapid.IntRange(0, 4).Draw(m.rt, "repeat") == 0 {
		was := rapid.SampledFrom(m.quarrels).Draw(m.rt, "of")
		e.Key, e.Asker, e.Original, e.Amount = was.key, tongma.ParticipantID(was.of.debtor), was.of.id, tongma.Money{Minor: was.amount}
		_, e.Amount.Currency = was.of.whole()
		want = expectation{exists: true, kind: KindDispute}
	}
	if m.tell(e, want); want.write {
		m.quarrels = append(m.quarrels, q)
		m.settledBy[q] = e.Model
	}
}

// stepOne takes a dispute on, or tries to.
func (m *machine) stepOne() {
	if len(m.quarrels) == 0 {
		m.rt.Skip()
	}
	q := rapid.SampledFrom(m.quarrels).Draw(m.rt, "dispute")
	x := q.of
	to := rapid.SampledFrom([]dispute.Stage{dispute.Accepted, dispute.Represented, dispute.Withdrawn, dispute.DeemedAccepted, dispute.DeemedWithdrawn}).Draw(m.rt, "stage")
	if rapid.IntRange(0, 3).Draw(m.rt, "late") == 0 && q.deadline > 0 {
		m.now = max(m.now, q.deadline+1)
	}
	right := map[dispute.Stage]string{dispute.Accepted: x.creditor, dispute.Represented: x.creditor, dispute.Withdrawn: x.debtor}[to]
	who := rapid.SampledFrom([]string{right, right, right, x.debtor, "stranger"}).Draw(m.rt, "who")
	clock := to == dispute.DeemedAccepted || to == dispute.DeemedWithdrawn
	late := q.deadline > 0 && m.now > q.deadline
	there := map[dispute.Stage][]dispute.Stage{dispute.Raised: {dispute.Accepted, dispute.Represented, dispute.Withdrawn, dispute.DeemedAccepted},
		dispute.Represented: {dispute.Accepted, dispute.Withdrawn, dispute.DeemedWithdrawn}}
	allowed := false
	for _, s := range there[q.stage] {
		allowed = allowed || s == to
	}
	want := expectation{kind: KindDisputeStep}
	switch {
	case who != "" && who != x.debtor && who != x.creditor:
		want.reason = tongma.DisputeUnknown
	case q.stage == to:
		want.exists = true
	case !allowed || who != right:
		want.reason = tongma.DisputeTurn
	case clock && !late:
		want.reason = tongma.TooEarly
	case !clock && late:
		want.reason = tongma.DisputeLate
	default:
		want.write = true
	}
	e := Entry{Kind: KindDisputeStep, Payment: q.id, Stage: to, Asker: tongma.ParticipantID(who)}
	if to == dispute.Represented {
		e.Expiry = m.now + 1_000
	}
	if m.tell(e, want); !want.write {
		return
	}
	back := m.feesGoBack(x, q.amount)
	q.stage, q.deadline = to, e.Expiry
	if to == dispute.Accepted || to == dispute.DeemedAccepted {
		one := func(from, to string, minor int64, c tongma.Currency) {
			m.moves = append(m.moves, movement{m.open[m.settledBy[q]], m.via(from), m.via(to), c, minor, nil, [2]string{from, to}})
		}
		for _, l := range back {
			one(string(l.From), string(l.To), l.Amount.Minor, l.Amount.Currency)
		}
		if x.dealer == "" {
			one(x.creditor, x.debtor, q.amount, x.currency)
			return
		}
		one(x.creditor, x.dealer, q.amount, x.targetCurrency)
		one(x.dealer, x.debtor, q.other, x.currency)
	}
}
