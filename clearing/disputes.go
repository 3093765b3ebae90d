package clearing

import (
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
)

// disputed is one dispute of a payment. Who may do what in which stage is the
// business of package dispute.
type disputed struct {
	id                  tongma.PaymentID
	key                 Digest // of raiser and key
	payment             uint32
	amount              int64
	other               int64 // of a payment in two currencies: what its debtor gets back
	raisedAt, changedAt int64
	deadline            int64
	entry               uint64
	authWindow, window  uint32 // asked in; charged back in
	model               uint16
	stage               dispute.Stage
	code                string // why, in the words of the scheme
	maker, checker      string // of the ruling
}

// claims are what disputes take of a payment, besides its refunds.
type claims struct {
	open        int64 // in disputes that are not over
	chargedBack int64
	feesBack    int64 // of what was charged back, that of which fees went back; older journals kept them
}

// claimsOn returns what disputes take of a payment.
func (b *Book) claimsOn(i uint32) claims {
	if len(b.claims) == 0 {
		return claims{}
	}
	return b.claims[i]
}

// Dispute is how a dispute stands, for those outside of the Book.
type Dispute struct {
	ID         tongma.PaymentID
	Payment    tongma.PaymentID
	Raiser     tongma.ParticipantID // the debtor of the payment
	Respondent tongma.ParticipantID // its creditor
	Amount     tongma.Money
	Code       string // why, in the words of the scheme
	Stage      dispute.Stage
	Deadline   int64 // Unix milliseconds; zero if nobody loses by waiting
	Model      string
	AuthWindow tongma.WindowID // of its model, when it was raised
	Window     tongma.WindowID // that the chargeback is in; zero for none
	RaisedAt   int64
	ChangedAt  int64
	Entry      uint64 // its latest
	Maker      string // who proposed the ruling
	Checker    string // who decided on it
}

func (b *Book) viewDispute(d *disputed) Dispute {
	p := b.payments.at(d.payment)
	return Dispute{ID: d.id, Payment: p.id, Raiser: tongma.ParticipantID(b.names[p.debtor]), Respondent: tongma.ParticipantID(b.names[p.creditor]),
		Amount: tongma.Money{Minor: d.amount, Currency: b.given(p).Currency}, Code: d.code, Stage: d.stage, Deadline: d.deadline, Model: b.models[d.model].name,
		AuthWindow: tongma.WindowID(d.authWindow), Window: tongma.WindowID(d.window), RaisedAt: d.raisedAt, ChangedAt: d.changedAt, Entry: d.entry, Maker: d.maker, Checker: d.checker}
}

// Dispute finds a dispute by its id.
func (b *Book) Dispute(id tongma.PaymentID) (Dispute, bool) {
	if d := b.disputeOf(id); d != nil {
		return b.viewDispute(d), true
	}
	return Dispute{}, false
}

// Disputes returns the disputes that keep accepts, in the order in which they were raised.
func (b *Book) Disputes(keep func(*Dispute) bool) []Dispute {
	var out []Dispute
	for i := range b.disputes {
		if d := b.viewDispute(&b.disputes[i]); keep(&d) {
			out = append(out, d)
		}
	}
	return out
}

func (b *Book) disputeOf(id tongma.PaymentID) *disputed {
	if i, ok := b.disputeByID[id]; ok {
		return &b.disputes[i]
	}
	return nil
}

// proposeDispute decides on a new dispute. The reasons, in their order:
//
//	a repeat: Exists, with the first difference of operation, amount, currency, original, code;
//	ModelUnknown, CurrencyUnknown, AmountInvalid, PaymentUnknown, DisputeTurn (not raised by the debtor), NotRefundable
//	(not posted, or a refund), CurrencyMismatch, DisputeExceeds
func (b *Book) proposeDispute(e *Entry) Verdict {
	key := keyDigest(e.Asker, e.Key)
	if i, ok := b.findKey(key); ok {
		return Verdict{Exists: true, Reason: tongma.ExistsOtherOperation, Payment: b.show(b.payments.at(i))}
	}
	if i, ok := b.disputeByKey[key]; ok {
		d := &b.disputes[i]
		return Verdict{Exists: true, Reason: b.otherDispute(e, d), Payment: b.show(b.payments.at(d.payment))}
	}
	if b.shards.claims[key] != 0 { // another shard uses it
		return Verdict{Exists: true, Reason: tongma.ExistsOtherOperation}
	}
	if _, twice := b.find(e.Payment); twice || b.disputeOf(e.Payment) != nil || e.Payment.IsZero() {
		return Verdict{Reason: tongma.Internal}
	}
	model, known := b.model(e.Model)
	if !known {
		return Verdict{Reason: tongma.ModelUnknown}
	}
	if err := e.Amount.Payable(); err != nil {
		return Verdict{Reason: tongma.ReasonOf(err)}
	}
	i, ok := b.find(e.Original)
	if !ok {
		return Verdict{Reason: tongma.PaymentUnknown}
	}
	p := b.payments.at(i)
	v := Verdict{Payment: b.show(p), Reason: b.disputable(e, p, i)}
	if v.Write = v.Reason == tongma.NoReason; v.Write {
		e.Stage, e.AuthWindow = dispute.Raised, b.openOf(model).id
		e.Debtor, e.Creditor = tongma.ParticipantID(b.names[p.debtor]), tongma.ParticipantID(b.names[p.creditor])
	}
	return v
}

func (b *Book) otherDispute(e *Entry, d *disputed) tongma.Reason {
	p := b.payments.at(d.payment)
	switch {
	case e.Amount.Minor != d.amount:
		return tongma.ExistsOtherAmount
	case e.Amount.Currency != b.given(p).Currency:
		return tongma.ExistsOtherCurrency
	case e.Original != p.id:
		return tongma.ExistsOtherOriginal
	case e.SchemeRef != d.code:
		return tongma.ExistsOtherContent
	}
	return tongma.NoReason
}

func (b *Book) disputable(e *Entry, p *payment, i uint32) tongma.Reason {
	party := dispute.Respondent
	if b.names[p.debtor] == string(e.Asker) {
		party = dispute.Raiser
	}
	if _, _, err := dispute.Next(dispute.NoStage, dispute.Who{Party: party}, dispute.Raise, e.Time, 0); err != nil {
		return tongma.ReasonOf(err)
	}
	taken := b.claimsOn(i)
	switch {
	case p.phase != KindPost || p.op == tongma.OpRefund:
		return tongma.NotRefundable
	case b.given(p).Currency != e.Amount.Currency:
		return tongma.CurrencyMismatch
	case p.refunded+p.refunding+taken.open+taken.chargedBack+e.Amount.Minor > b.given(p).Minor:
		return tongma.DisputeExceeds
	}
	if e.Dealer, e.Target = "", (tongma.Money{}); p.cross != 0 {
		other, reason := b.proportionOf(i, e.Amount.Minor)
		e.Dealer, e.Target = tongma.ParticipantID(b.names[b.crossOf(p).dealer]), tongma.Money{Minor: other, Currency: p.currency}
		return reason
	}
	return tongma.NoReason
}

// proposeDisputeStep decides on a step to another stage. Asker is the network that
// takes it; nobody if it is the operator, who is named as Maker of a ruling or its
// Checker, or if a deadline has passed. The reasons, in their order:
//
//	DisputeUnknown (no such dispute, or of others); a repeat: Exists; DisputeTurn (no such step, or another's); then those of
//	dispute.Next; PositionOverflow
func (b *Book) proposeDisputeStep(e *Entry) Verdict {
	d := b.disputeOf(e.Payment)
	if d == nil {
		return Verdict{Reason: tongma.DisputeUnknown}
	}
	p := b.payments.at(d.payment)
	v := Verdict{Payment: b.show(p)}
	if v.Exists = d.stage == e.Stage && b.partyTo(e, p); v.Exists {
		return v
	}
	action, effect, reason := b.step(e, d, p)
	w := b.openOf(d.model)
	if reason == tongma.NoReason && effect == dispute.Chargeback && (b.tooMuch(w, p.currency, d.amount+d.other, mostPosted) || b.tooMuch(w, b.given(p).Currency, d.amount, mostPosted) || b.nearEdge(tongma.ParticipantID(b.names[p.debtor]), p.currency)) {
		reason = tongma.PositionOverflow
	}
	if v.Reason, v.Write = reason, reason == tongma.NoReason; !v.Write {
		return v
	}
	e.Original, e.Debtor, e.Creditor = p.id, tongma.ParticipantID(b.names[p.debtor]), tongma.ParticipantID(b.names[p.creditor])
	e.Amount, e.Model, e.Window = tongma.Money{Minor: d.amount, Currency: b.given(p).Currency}, b.models[d.model].name, 0
	if x := b.crossOf(p); x != nil {
		e.Dealer, e.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: d.other, Currency: p.currency}
	}
	switch action {
	case dispute.ProposeUphold, dispute.ProposeReject:
		e.Checker = ""
	case dispute.Approve, dispute.Refuse:
		e.Maker = d.maker
	default:
		e.Maker, e.Checker = "", ""
	}
	e.Op, e.Scheme, e.Legs = p.op, tongma.SchemeID(b.names[p.scheme]), nil
	if effect == dispute.Chargeback {
		e.Window = w.id
		e.Legs = b.returned(d.payment, d.amount)
		if v.Reason = b.chargeableLegs(e, w, p); v.Reason != tongma.NoReason {
			v.Write = false
		}
	}
	if e.Stage.Final() {
		e.Expiry = 0
	}
	return v
}

// partyTo tells whether the asker of a step is one of the two networks, or nobody.
func (b *Book) partyTo(e *Entry, p *payment) bool {
	return e.Asker == "" || b.names[p.debtor] == string(e.Asker) || b.names[p.creditor] == string(e.Asker)
}

// step asks package dispute whether whoever acts may take the dispute to a stage.
func (b *Book) step(e *Entry, d *disputed, p *payment) (dispute.Action, dispute.Effect, tongma.Reason) {
	if !b.partyTo(e, p) {
		return dispute.NoAction, dispute.Nothing, tongma.DisputeUnknown
	}
	party, action, ok := dispute.Step(d.stage, e.Stage)
	raiser, respondent := b.names[p.debtor] == string(e.Asker), b.names[p.creditor] == string(e.Asker)
	switch party {
	case dispute.Raiser:
		ok = ok && raiser
	case dispute.Respondent:
		ok = ok && respondent
	default:
		ok = ok && e.Asker == ""
	}
	if !ok {
		return dispute.NoAction, dispute.Nothing, tongma.DisputeTurn
	}
	who := dispute.Who{Party: party, Person: e.Maker}
	if action == dispute.Approve || action == dispute.Refuse {
		who.Person, who.Maker = e.Checker, d.maker
	}
	_, effect, err := dispute.Next(d.stage, who, action, e.Time, d.deadline)
	return action, effect, tongma.ReasonOf(err)
}

func (b *Book) applyDispute(e *Entry) error {
	again := *e
	propose := b.proposeDispute
	if e.Kind == KindDisputeStep {
		propose = b.proposeDisputeStep
	}
	if v := propose(&again); !v.Write || again.Window != e.Window || again.AuthWindow != e.AuthWindow || again.Amount != e.Amount || again.Target != e.Target || again.Stage != e.Stage || again.Maker != e.Maker || !sameFeesBack(&again, e) {
		return b.broken(e, "no Book would have proposed it")
	}
	if e.Kind == KindDispute {
		b.raise(e)
		return nil
	}
	d := b.disputeOf(e.Payment)
	p, was := b.payments.at(d.payment), d.stage
	d.stage, d.deadline, d.entry, d.changedAt = e.Stage, e.Expiry, e.Number, e.Time
	if d.maker, d.checker = e.Maker, e.Checker; e.Stage == dispute.Arbitration {
		d.maker, d.checker = "", "" // a ruling that was refused is none
	}
	if was.Open() && e.Stage.Final() {
		taken := b.claims[d.payment]
		taken.open -= d.amount
		x := b.crossOf(p)
		if x != nil {
			x.disputed -= d.other
		}
		if e.Stage.Effect() == dispute.Chargeback {
			taken.chargedBack += d.amount
			if e.Op != 0 {
				taken.feesBack += d.amount
			}
			if x != nil {
				x.back += d.other
			}
			b.chargeBack(e, d, p)
		}
		b.claims[d.payment] = taken
	}
	return nil
}

// sameFeesBack tells whether the fees of a step are those that go back. A step that
// does not name the payment's operation was written before fees went back with a chargeback.
func sameFeesBack(again, e *Entry) bool {
	if e.Op == 0 || e.Kind == KindDispute {
		return len(e.Legs) == 0
	}
	return again.Op == e.Op && again.Scheme == e.Scheme && slices.Equal(again.Legs, e.Legs)
}

func (b *Book) raise(e *Entry) {
	i, _ := b.find(e.Original)
	model, _ := b.model(e.Model)
	at := uint32(len(b.disputes))
	d := disputed{id: e.Payment, key: keyDigest(e.Asker, e.Key), payment: i, amount: e.Amount.Minor, other: e.Target.Minor, raisedAt: e.Time, changedAt: e.Time, deadline: e.Expiry,
		entry: e.Number, authWindow: uint32(e.AuthWindow), model: model, stage: dispute.Raised, code: e.SchemeRef}
	b.disputes = append(b.disputes, d)
	b.disputeByID[d.id], b.disputeByKey[d.key] = at, at
	taken := b.claims[i]
	taken.open += d.amount
	b.claims[i] = taken
	if x := b.crossOf(b.payments.at(i)); x != nil {
		x.disputed += d.other
	}
}

// chargeBack has the creditor of a disputed payment pay it back to its debtor.
func (b *Book) chargeBack(e *Entry, d *disputed, p *payment) {
	w := b.openOf(d.model)
	d.window = uint32(w.id)
	if x := b.crossOf(p); x != nil {
		b.debit(w, debt{entry: e.Number, from: p.creditor, to: x.dealer, currency: x.currency, minor: d.amount, dispute: d.id})
		b.debit(w, debt{entry: e.Number, from: x.dealer, to: p.debtor, currency: p.currency, minor: d.other, dispute: d.id})
	} else {
		b.debit(w, debt{entry: e.Number, from: p.creditor, to: p.debtor, currency: p.currency, minor: d.amount, dispute: d.id})
	}
	for i := range e.Legs {
		l := &e.Legs[i]
		b.debit(w, debt{entry: e.Number, from: b.number(string(l.From)), to: b.number(string(l.To)), currency: l.Amount.Currency, minor: l.Amount.Minor, dispute: d.id, fee: l.Kind})
	}
}

// debit books a debt that is no payment.
func (b *Book) debit(w *window, d debt) {
	if k := b.entered(w, d.from, d.to, d.currency, d.minor); d.fee != 0 {
		w.addFee(k, d.minor)
	} else {
		w.addDebt(k, d.minor)
	}
	w.debts = append(w.debts, d)
}

// DisputesOver returns the disputes in which somebody has let its deadline pass, as
// of Unix milliseconds: what a clock has to end.
func (b *Book) DisputesOver(at int64) []Dispute {
	return b.Disputes(func(d *Dispute) bool { return d.Stage.Timed() && d.Deadline != 0 && d.Deadline < at })
}
