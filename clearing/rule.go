package clearing

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
)

// order is a proposed cap, a deposit or a withdrawal, kept for as long as the Book
// is, so that its key is never used for another.
type order struct {
	kind    Kind // of its first entry
	state   Kind // of its latest
	account accountKey
	minor   int64
	maker   string
	checker string
	capAt   uint64 // entry that had set the account's cap when another was proposed
}

// proposeRule decides on what the operator's directory says. Its order of reasons:
// a rule that stands already is Exists (a directory of that number and other bytes with
// ExistsOtherContent), then FieldInvalid, then StateConflict.
//
// A cap that was approved since the directory last spoke is not taken back by the
// directory saying the same again, as it does at each start: only by another figure.
// The cap of who is at home in another shard stands there, wherever the directory says
// it: here it is zero, as the books stand when it is said. What a sub-participant may owe
// through its sponsor is limited in every shard.
//
// Nor does the directory resume whom it has not suspended: one that is short, or that
// a person has suspended, is resumed by a person, whom the entry names as its maker.
func (b *Book) proposeRule(e *Entry) Verdict {
	n, known := b.numbers[string(e.Debtor)]
	switch e.Kind {
	case KindCap:
		if b.away(e.Debtor) && !b.sponsored(e.Debtor) {
			e.Amount.Minor = min(e.Amount.Minor, 0)
		}
		a := b.accounts[accountKey{n, e.Amount.Currency}]
		if known && a != nil && a.capped && a.directed == e.Amount.Minor {
			return Verdict{Exists: true}
		}
		if e.Amount.Minor < 0 || !e.Amount.Currency.Valid() || e.Debtor == "" {
			return Verdict{Reason: tongma.FieldInvalid}
		}
	case KindSuspend, KindResume:
		if e.Debtor == "" {
			return Verdict{Reason: tongma.FieldInvalid}
		}
		same := (known && b.blocked[n]) == (e.Kind == KindSuspend)
		if e.Kind == KindSuspend && e.Maker != "" && !b.kept[n] { // the directory's alone would end with it
			same = false
		}
		if same || (e.Kind == KindResume && e.Maker == "" && b.kept[n]) {
			return Verdict{Exists: true}
		}
	case KindDirectory:
		if e.Directory == b.directory {
			v := Verdict{Exists: true}
			if none := [32]byte{}; e.Hash != b.directoryHash && e.Hash != none && b.directoryHash != none {
				v.Reason = tongma.ExistsOtherContent
			}
			return v
		}
		if e.Directory < b.directory {
			return Verdict{Reason: tongma.StateConflict}
		}
	}
	return Verdict{Write: true}
}

// proposeOrder decides on caps that two people set, and on prefunding. The reasons,
// in their order:
//
//	any:                  FieldInvalid: no key; what the kind needs is missing, or an amount is not one
//	cap, deposit, withdraw: a repeat: Exists, with the first difference of operation, participant, amount, currency, maker;
//	                      NoAccount: the account has no cap
//	deposit:              PositionOverflow
//	withdraw:             ParticipantSuspended, AmountInvalid (more than is there), OverCap (it is in use)
//	approved, rejected:   FieldInvalid: no key, or nobody; ProposalUnknown: no cap was proposed under this key; a repeat: Exists; StateConflict: it came to the
//	                      other end; MakerIsChecker; CapChanged: since it was proposed
func (b *Book) proposeOrder(e *Entry) Verdict {
	o := b.orders[e.Key]
	if e.Kind == KindCapApproved || e.Kind == KindCapRejected {
		return b.proposeCheck(e, o)
	}
	asksCap := e.Kind == KindCapProposed
	least := int64(1)
	if asksCap {
		least = 0
	}
	if e.Key == "" || e.Debtor == "" || !e.Amount.Currency.Valid() || e.Amount.Minor < least || asksCap == (e.Maker == "") || e.Checker != "" {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	if o != nil {
		return Verdict{Exists: true, Reason: b.otherOrder(e, o)}
	}
	n, known := b.numbers[string(e.Debtor)]
	a := b.accounts[accountKey{n, e.Amount.Currency}]
	if !known || a == nil || !a.capped || b.away(e.Debtor) { // what limits it stands where it is at home
		return Verdict{Reason: tongma.NoAccount}
	}
	_, fits := addChecked(a.prefunding, e.Amount.Minor)
	switch {
	case e.Kind == KindDeposit && !fits:
		return Verdict{Reason: tongma.PositionOverflow}
	case e.Kind != KindWithdraw:
		return Verdict{Write: true}
	case b.blocked[n]: // what it deposited may be needed for what it owes
		return Verdict{Reason: tongma.ParticipantSuspended}
	case e.Amount.Minor > a.prefunding:
		return Verdict{Reason: tongma.AmountInvalid}
	case b.usedBeyond(n, e.Amount.Currency, a.prefunding-e.Amount.Minor):
		return Verdict{Reason: tongma.OverCap}
	}
	return Verdict{Write: true}
}

// usedBeyond tells whether more is in use than the cap and so much prefunding allow.
func (b *Book) usedBeyond(n uint16, c tongma.Currency, prefunding int64) bool {
	left := *b.accounts[accountKey{n, c}]
	left.prefunding = prefunding
	if m, sub := b.memoNow(n, c); sub {
		left.position, left.reserved = m.position, m.reserved
	}
	use, ok := addChecked(left.position, left.reserved)
	return !ok || use > left.limit()
}

func (b *Book) otherOrder(e *Entry, o *order) tongma.Reason {
	switch {
	case o.kind != e.Kind:
		return tongma.ExistsOtherOperation
	case b.names[o.account.participant] != string(e.Debtor):
		return tongma.ExistsOtherParticipant
	case o.minor != e.Amount.Minor:
		return tongma.ExistsOtherAmount
	case o.account.currency != e.Amount.Currency:
		return tongma.ExistsOtherCurrency
	case !samePerson(o.maker, e.Maker):
		return tongma.ExistsOtherContent
	}
	return tongma.NoReason
}

// proposeCheck decides on a checker's word, and repeats what it is about. Two
// people see one figure against one cap: if that cap has changed since, the figure
// is proposed anew.
func (b *Book) proposeCheck(e *Entry, o *order) Verdict {
	switch {
	case e.Key == "" || e.Checker == "":
		return Verdict{Reason: tongma.FieldInvalid}
	case o == nil || o.kind != KindCapProposed:
		return Verdict{Reason: tongma.ProposalUnknown}
	case o.state == e.Kind:
		return Verdict{Exists: true}
	case o.state != KindCapProposed:
		return Verdict{Reason: tongma.StateConflict}
	case samePerson(o.maker, e.Checker):
		return Verdict{Reason: tongma.MakerIsChecker}
	case e.Kind == KindCapApproved && b.accounts[o.account].capAt != o.capAt:
		return Verdict{Reason: tongma.CapChanged}
	}
	e.Debtor, e.Maker = tongma.ParticipantID(b.names[o.account.participant]), o.maker
	e.Amount = tongma.Money{Minor: o.minor, Currency: o.account.currency}
	return Verdict{Write: true}
}

func samePerson(x, y string) bool { return dispute.SamePerson(x, y) }

// applyOrder makes such an entry part of the Book, and refuses one that a Book
// would not have proposed.
func (b *Book) applyOrder(e *Entry) error {
	again := *e
	if v := b.proposeOrder(&again); !v.Write || again.Debtor != e.Debtor || again.Amount != e.Amount || again.Maker != e.Maker {
		return b.broken(e, "no Book would have proposed it")
	}
	k := accountKey{b.number(string(e.Debtor)), e.Amount.Currency}
	a := b.account(k.participant, k.currency)
	switch e.Kind {
	case KindCapApproved, KindCapRejected:
		o := b.orders[e.Key]
		o.state, o.checker = e.Kind, e.Checker
		if e.Kind == KindCapApproved {
			a.cap, a.capAt = e.Amount.Minor, e.Number
		}
		return nil
	case KindDeposit:
		a.prefunding += e.Amount.Minor
	case KindWithdraw:
		a.prefunding -= e.Amount.Minor
	}
	b.orders[e.Key] = &order{kind: e.Kind, state: e.Kind, account: k, minor: e.Amount.Minor, maker: e.Maker, capAt: a.capAt}
	return nil
}

// CapProposal is a cap that one person proposed, and how it stands.
type CapProposal struct {
	Key         string
	Participant tongma.ParticipantID
	Cap         tongma.Money
	Maker       string
	Checker     string // who approved or rejected it
	State       Kind   // KindCapProposed, KindCapApproved or KindCapRejected
	Stale       bool   // it waits, but the cap was changed since: it can only be rejected
}

// CapProposal finds a proposed cap by its key.
func (b *Book) CapProposal(key string) (CapProposal, bool) {
	o := b.orders[key]
	if o == nil || o.kind != KindCapProposed {
		return CapProposal{}, false
	}
	return CapProposal{key, tongma.ParticipantID(b.names[o.account.participant]), tongma.Money{Minor: o.minor, Currency: o.account.currency},
		o.maker, o.checker, o.state, o.state == KindCapProposed && b.accounts[o.account].capAt != o.capAt}, true
}
