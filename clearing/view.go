package clearing

import (
	"cmp"
	"slices"

	"github.com/tongma/tongma"
)

// Payment is how a payment stands, for those outside of the Book.
type Payment struct {
	ID, Original tongma.PaymentID
	Op           tongma.Operation
	Phase        Kind // kind of its latest entry
	Posted       bool // it was posted once, even if it is being turned back
	Late         bool // its end was not known when the asker was first answered
	Asker        tongma.ParticipantID
	Debtor       tongma.ParticipantID
	Creditor     tongma.ParticipantID
	Scheme       tongma.SchemeID
	Amount       tongma.Money // held
	Captured     int64        // minor units of it that were posted: less than held if captured in part
	Refunded     int64        // minor units, posted
	Refunding    int64        // minor units, under way
	Disputed     int64        // minor units, in disputes that are not over
	ChargedBack  int64        // minor units, by disputes
	Reason       tongma.Reason
	AuthWindow   tongma.WindowID
	Window       tongma.WindowID // that its posting counts in
	BackWindow   tongma.WindowID // that its turning back counts in
	Model        string          // settlement model
	HeldAt       int64           // Unix milliseconds
	ChangedAt    int64
	Expiry       int64
	Entry        uint64
	SchemeRef    string
	Approval     string
	CodeTail     string
	Dealer       tongma.ParticipantID // of a payment in two currencies: gets Amount, and pays Target to the creditor
	Target       tongma.Money         // and Refunded, Refunding, Disputed and ChargedBack are in its currency
	Quote, Rate  string
	Legs         []Leg // fees of its posting; not to be changed
}

// Final tells whether the payment will not change unless someone asks.
func (p *Payment) Final() bool {
	return p.Phase != KindHold && p.Phase != KindPend && p.Phase != KindReversing
}

func (b *Book) view(p *payment) (out Payment) {
	b.viewOf(&out, p, &Entry{})
	return out
}

// show is view, for a Verdict.
func (b *Book) show(p *payment) *Payment {
	out := b.view(p)
	return &out
}

// viewAfter puts the payment that e was about into out, as it stands once that is
// applied, and returns it; nil if there is none.
func (b *Book) viewAfter(e *Entry, out *Payment) *Payment {
	i, ok := b.find(e.Payment)
	if !ok {
		return nil
	}
	b.viewOf(out, b.payments.at(i), e)
	return out
}

// as returns text: the given one if it is the same, so that it is not made again.
func as(given string, text []byte) string {
	if given == string(text) {
		return given
	}
	return string(text)
}

// viewOf is view into out, with the texts of e where they are the payment's.
func (b *Book) viewOf(out *Payment, p *payment, e *Entry) {
	tail := p.codeTail[:]
	if tail[0] == 0 {
		tail = nil
	}
	var taken claims
	if len(b.claims) > 0 {
		i, _ := b.find(p.id)
		taken = b.claims[i]
	}
	captured := int64(0)
	if p.posted {
		captured = p.moved()
	}
	*out = Payment{ID: p.id, Original: p.original, Op: p.op, Phase: p.phase, Posted: p.posted, Late: p.late,
		Asker: tongma.ParticipantID(b.names[p.asker]), Debtor: tongma.ParticipantID(b.names[p.debtor]),
		Creditor: tongma.ParticipantID(b.names[p.creditor]), Scheme: tongma.SchemeID(b.names[p.scheme]),
		Amount: tongma.Money{Minor: p.amount, Currency: p.currency}, Captured: captured, Refunded: p.refunded, Refunding: p.refunding, Disputed: taken.open, ChargedBack: taken.chargedBack, Legs: b.legs(p),
		Reason: p.reason, AuthWindow: tongma.WindowID(p.authWindow), Window: tongma.WindowID(p.window),
		BackWindow: tongma.WindowID(p.backWindow), Model: b.models[p.model].name, HeldAt: p.heldAt,
		ChangedAt: p.changedAt, Expiry: p.expiry, Entry: p.entry, SchemeRef: as(e.SchemeRef, b.texts.get(p.schemeRef)), Approval: as(e.Approval, p.approval[:p.approvalSize]), CodeTail: as(e.CodeTail, tail)}
	if x := b.crossOf(p); x != nil {
		out.Dealer, out.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: x.target, Currency: x.currency}
		out.Quote, out.Rate = string(b.texts.get(x.quote)), string(b.texts.get(x.rate))
	}
}

// Payment finds a payment by its id.
func (b *Book) Payment(id tongma.PaymentID) (Payment, bool) {
	i, ok := b.find(id)
	if !ok {
		return Payment{}, false
	}
	return b.view(b.payments.at(i)), true
}

// PaymentByKey finds a payment by its asker's key.
func (b *Book) PaymentByKey(asker tongma.ParticipantID, key string) (Payment, bool) {
	i, ok := b.findKey(keyDigest(asker, key))
	if !ok {
		return Payment{}, false
	}
	return b.view(b.payments.at(i)), true
}

// Recent returns up to limit payments that keep accepts, latest first.
func (b *Book) Recent(limit int, keep func(*Payment) bool) []Payment {
	var out []Payment
	for i := b.payments.len() - 1; i >= 0 && len(out) < limit; i-- {
		if p := b.view(b.payments.at(uint32(i))); keep(&p) {
			out = append(out, p)
		}
	}
	return out
}

// OpenPayments returns every payment that is not final, in the order in which
// they came: what a restart has to finish.
func (b *Book) OpenPayments() []Payment {
	out := make([]Payment, 0, b.open)
	for i := int(b.low); i < b.payments.len() && len(out) < b.open; i++ {
		if p := b.payments.at(uint32(i)); !p.final() {
			out = append(out, b.view(p))
		}
	}
	return out
}

// Position is one participant's standing in one currency, in minor units.
type Position struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
	Position    int64 // posted debits less posted credits, not yet settled: more than zero owes
	Reserved    int64 // open holds
	Cap         int64
	Capped      bool // false: it may only receive
	Suspended   bool
	Prefunded   int64 // deposited and not withdrawn: the limit is Cap and this

	// Of a sub-participant, Position and Reserved stay zero: its sponsor's account has
	// them. What it adds to that is the memo, which Cap and Prefunded limit as well.
	Sponsor      tongma.ParticipantID
	MemoPosition int64
	MemoReserved int64
}

// Positions returns every account, ordered by participant and currency.
func (b *Book) Positions() []Position {
	out := make([]Position, 0, len(b.accounts))
	for k, a := range b.accounts {
		p := Position{Participant: tongma.ParticipantID(b.names[k.participant]), Currency: k.currency, Position: a.position, Reserved: a.reserved,
			Cap: a.cap, Capped: a.capped, Suspended: b.blocked[k.participant], Prefunded: a.prefunding}
		if sponsor, sub := b.sponsors[k.participant]; sub {
			p.Sponsor = tongma.ParticipantID(b.names[sponsor])
			p.Suspended = p.Suspended || b.blocked[sponsor]
			if m := b.memos[k]; m != nil {
				p.MemoPosition, p.MemoReserved = m.position, m.reserved
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y Position) int {
		return cmp.Or(cmp.Compare(x.Participant, y.Participant), cmp.Compare(x.Currency.Code(), y.Currency.Code()))
	})
	return out
}
