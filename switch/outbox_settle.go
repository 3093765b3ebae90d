package switching

import (
	"encoding/json"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// unsettled is what the outbox keeps of an entry by which a window does not settle as it
// was drawn up: somebody is short, others are asked for it, a payment leaves the window.
type unsettled struct {
	kind                            clearing.Kind
	debtor, creditor, payer, dealer tongma.ParticipantID // creditor is empty if the leg's other side is the settlement account
	amount, target                  tongma.Money         // target: what the creditor gets of a payment in two currencies
	ref                             string               // id of the instruction
	reason                          tongma.Reason
	to                              tongma.WindowID // deferred: where it is now
}

// settlingOf returns what is kept of such an entry; nil of any other.
func settlingOf(e *clearing.Entry) *unsettled {
	s := unsettled{kind: e.Kind, debtor: e.Debtor, creditor: e.Creditor, amount: e.Amount, ref: e.SchemeRef, reason: e.Reason}
	switch e.Kind {
	case clearing.KindShort:
	case clearing.KindCoverAsked, clearing.KindCover, clearing.KindCoverRefused:
		s.creditor, s.payer = e.Asker, e.Creditor
	case clearing.KindDefer:
		s.dealer, s.target, s.to = e.Dealer, e.Target, e.AuthWindow
		if !e.Payment.IsZero() {
			s.ref = "" // a currency
		}
	default:
		return nil
	}
	return &s
}

// SettlingView is what a participant is told of a window that does not settle as it was
// drawn up. Amounts are decimals.
type SettlingView struct {
	Window         string `json:"window"`
	Role           string `json:"role"`
	Currency       string `json:"currency"`
	Amount         string `json:"amount"`
	TargetCurrency string `json:"target_currency,omitempty"`
	TargetAmount   string `json:"target_amount,omitempty"`
	Debtor         string `json:"debtor"`
	Creditor       string `json:"creditor,omitempty"`
	Payer          string `json:"payer,omitempty"`
	Dealer         string `json:"dealer,omitempty"`
	Instruction    string `json:"instruction,omitempty"`
	Payment        string `json:"payment,omitempty"`
	Dispute        string `json:"dispute,omitempty"`
	SettlesIn      string `json:"settles_in,omitempty"`
	Reason         string `json:"reason,omitempty"`
	Money          string `json:"money"`
	Do             string `json:"do"`
}

// Roles of those who are told, in the order in which one that has two is told.
const (
	roleDebtor   = "debtor"   // who is short; of what was deferred: who pays
	rolePayer    = "payer"    // who pays for it
	roleCreditor = "creditor" // who waits for its money
	roleDealer   = "dealer"   // of a payment in two currencies
)

// tell returns what each participant is told of it. of is the payment or the dispute
// that is deferred.
func (s *unsettled) tell(b *clearing.Book, n *notice) map[tongma.ParticipantID][]byte {
	v := SettlingView{Window: n.window.String(), Currency: s.amount.Currency.Code(), Amount: s.amount.Decimal(), Debtor: string(s.debtor),
		Creditor: string(s.creditor), Payer: string(s.payer), Dealer: string(s.dealer), Instruction: s.ref}
	if s.target.Currency != 0 {
		v.TargetCurrency, v.TargetAmount = s.target.Currency.Code(), s.target.Decimal()
	}
	if s.reason != tongma.NoReason {
		v.Reason = s.reason.Code()
	}
	in := s.to
	if s.kind == clearing.KindCover && s.payer != s.debtor {
		in = owedIn(b, n)
	}
	if in != 0 {
		v.SettlesIn = in.String()
	}
	if !n.payment.IsZero() {
		if _, ok := b.Payment(n.payment); ok {
			v.Payment = n.payment.String()
		} else {
			v.Dispute = n.payment.String()
		}
	}
	out := map[tongma.ParticipantID][]byte{}
	for _, one := range [...]struct {
		who  tongma.ParticipantID
		role string
	}{{s.debtor, roleDebtor}, {s.payer, rolePayer}, {s.creditor, roleCreditor}, {s.dealer, roleDealer}} {
		if _, told := out[one.who]; one.who == "" || told {
			continue
		}
		v.Role = one.role
		v.Money, v.Do = s.words(one.role, v.SettlesIn)
		out[one.who], _ = json.Marshal(&v)
	}
	return out
}

// owedIn finds the window in which the debt to who covered was put.
func owedIn(b *clearing.Book, n *notice) tongma.WindowID {
	for id := n.window + 1; id < n.window+owedWithin; id++ {
		found := false
		at := b.WindowCursorBehind(id, n.entry-1)
		b.WindowPaymentsFrom(id, &at, func(it clearing.WindowItem) bool {
			found = it.Entry == n.entry && it.Kind == clearing.KindCover
			return false
		})
		if found {
			return id
		}
	}
	return 0
}

// owedWithin bounds the search for a window: so many may have been opened while one waits
// to be settled.
const owedWithin = 1 << 14

// words says what an entry means for the money of a participant, and what it has to do.
func (s *unsettled) words(role, settlesIn string) (money, do string) {
	own := s.payer == s.debtor
	switch s.kind {
	case clearing.KindShort:
		if role == roleCreditor {
			return "The debtor's account did not give what it owes you in this window: it has not come in yet.",
				"Nothing. It is tried again, covered by the rules, or rolled over; you hear which."
		}
		return "The settlement agent did not take this from your account: it is still due. Your new debits are refused from now on.",
			"Have the amount in your account at the settlement agent and tell the switch's operator, who has it taken again and your debits allowed."
	case clearing.KindCoverAsked:
		switch {
		case role == rolePayer:
			return "By the rules you pay this for the debtor, who is short: the settlement agent is asked to take it from your account. It may be taken at any moment.",
				"Have the amount in your account. What is taken is owed to you by the debtor: you hear in which window."
		case role == roleCreditor:
			return "Somebody else is asked for what the debtor owes you. It has not come in yet.", "Nothing. You hear whether it was paid."
		case own:
			return "Your prefunding is to pay this part of what you are short of.", "Nothing for this part. See that your account has the rest."
		}
		return "Somebody else is asked to pay this for you. What is paid you will owe.", "See that your account has what you owe, in this window and in the next."
	case clearing.KindCover:
		switch {
		case role == rolePayer:
			return "You have paid this for the debtor, and are owed it: it counts for you in the window that settles_in names.", "Nothing. Put it beside your account's statement under the instruction's id."
		case role == roleCreditor:
			return "What the debtor owes you was paid by somebody else.", "Nothing. Put it beside your account's statement under the instruction's id."
		case own:
			return "Your prefunding has paid this, and is less by it: so is what you may still debit.", "Bring in prefunding again if you need it."
		}
		return "Somebody else has paid this for you, and you owe it there: it counts against you in the window that settles_in names. Your debits stay refused.",
			"Have it in your account by then. Ask the switch's operator to have your debits allowed again."
	case clearing.KindCoverRefused:
		switch {
		case role == rolePayer:
			return "The settlement agent did not take this from your account: nothing of it moved, and nothing will under this instruction.", "Ask the settlement agent why. You may be asked again."
		case role == roleCreditor:
			return "Who was asked for what the debtor owes you did not pay it. It has not come in yet.", "Nothing. The rules go on, or it is rolled over; you hear which."
		}
		return "This was not paid for you: it is still due.", "Have the amount in your account at the settlement agent and tell the switch's operator."
	}
	return "It stands as it was, and no money of it moved in this window: it counts in " + settlesIn + " instead, and is settled with that.",
		"Nothing to pay or give back. In your books, move it to " + settlesIn + "; this window's new figures come with window.recast."
}

// LegView is what runs between a participant and the settlement account, or another
// participant, where that is named.
type LegView struct {
	Debtor   string `json:"debtor,omitempty"`
	Creditor string `json:"creditor,omitempty"`
	Currency string `json:"currency"`
	Net      string `json:"net"`
	Settled  string `json:"settled"`
	Due      string `json:"due"`
}

// legsOf returns a participant's own legs of a sheet.
func legsOf(s *clearing.Sheet, who tongma.ParticipantID) (out []LegView) {
	for _, l := range s.Legs {
		if l.Debtor == who || l.Creditor == who {
			out = append(out, LegView{string(l.Debtor), string(l.Creditor), l.Currency.Code(), dec(l.Net, l.Currency), dec(l.Settled, l.Currency), dec(l.Due, l.Currency)})
		}
	}
	return out
}

// recastFor is what everybody in a window is told when its sheet is drawn up anew: those
// too of whom nothing is left in it but what goes back.
func recastFor(s *clearing.Sheet, own map[tongma.ParticipantID][]FigureView) map[tongma.ParticipantID][]byte {
	var all []tongma.ParticipantID
	for _, l := range s.Legs {
		all = append(all, l.Debtor, l.Creditor)
	}
	for p := range own {
		all = append(all, p)
	}
	out := map[tongma.ParticipantID][]byte{}
	for _, p := range all {
		if _, told := out[p]; p == "" || told {
			continue
		}
		out[p], _ = json.Marshal(map[string]any{"window": s.Window.String(), "state": s.State.String(), "sheet_hash": hexHash(s.Hash),
			"figures": slices.Concat([]FigureView{}, own[p]), "legs": slices.Concat([]LegView{}, legsOf(s, p)),
			"money": "Payments have left this window, since somebody is short. These figures stand in place of those of window.closed; what was settled beyond them goes back.",
			"do":    "Compare the figures with your books, without what window.deferred told you of. Have what is due of you in your account."})
	}
	return out
}
