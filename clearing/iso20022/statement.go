package iso20022

import (
	"time"

	"github.com/tongma/tongma"
)

// Statement is the agent's account of one account over a period, with every
// entry that is booked: opening balance and booked entries give the closing
// balance, or it would not have been read.
type Statement struct {
	ID       string
	Created  time.Time // zero if it does not say
	Account  Account
	Currency tongma.Currency
	Opening  Balance
	Closing  Balance
	Entries  []Entry
}

// Balance is what the account holds on a day, more than zero to its owner's
// credit.
type Balance struct {
	Amount tongma.Money
	Date   Date
}

// Advice tells of single entries of an account, before the statement does. It
// has no balances.
type Advice struct {
	ID       string
	Created  time.Time // zero if it does not say
	Account  Account
	Currency tongma.Currency // none if there are no entries and it does not say
	Entries  []Entry
}

// Entry is one movement of the account. The same instruction may stand in two
// entries: that is for reconciliation to find, and no fault of the message.
type Entry struct {
	Reference   string       // NtryRef, unique within the statement; may be empty
	Amount      tongma.Money // zero or more
	Credit      bool         // the account received it; otherwise it paid
	Booked      bool         // the status is the code BOOK: it counts in the balance
	Status      string       // as the agent wrote it: BOOK, PDNG, INFO
	Reversal    bool         // it turns an earlier entry back; Credit already says which way
	BookingDate Date         // zero if the agent does not say
	ValueDate   Date         // zero if the agent does not say
	AgentRef    string       // AcctSvcrRef
	Details     []Detail     // the transactions behind it; none if the agent gives none
}

// Signed returns the amount, less than zero if the account paid.
func (e *Entry) Signed() tongma.Money {
	if e.Credit {
		return e.Amount
	}
	return tongma.Money{Minor: -e.Amount.Minor, Currency: e.Amount.Currency}
}

// Detail is one transaction of an entry, with the references that it came with.
type Detail struct {
	Message     string // MsgId of the message that instructed
	Instruction string // InstrId
	EndToEnd    string // EndToEndId: the id of our instruction, if it is one of ours
	UETR        string
	Transaction string // TxId
	AgentRef    string // AcctSvcrRef
	Amount      tongma.Money
	Credit      bool
}

// About tells whether the transaction is that of our instruction with this id:
// its EndToEndId and UETR, as far as they came back, both belong to it.
func (d *Detail) About(instruction string) bool { return about(instruction, d.EndToEnd, d.UETR) }

func (r *reader) reportHeader(m *Message, n *node) {
	h := r.one(n, "GrpHdr")
	r.enter(h, "GroupHeader81")
	m.ID, m.Created = r.id(h, "MsgId"), r.time(r.one(h, "CreDtTm"))
}

func (r *reader) statements(m *Message, n *node) {
	r.enter(n, "BankToCustomerStatementV08")
	r.reportHeader(m, n)
	seen := map[string]bool{}
	all := r.many(n, "Stmt")
	if n != nil && len(all) == 0 {
		r.fail(FaultMissing, n.path()+"/Stmt", n.at, "")
	}
	for _, k := range all {
		s := r.statement(k)
		if seen[s.ID] {
			r.at(FaultDuplicate, k, "")
		}
		seen[s.ID] = true
		m.Statements = append(m.Statements, s)
		if r.err != nil {
			return
		}
	}
}

func (r *reader) statement(n *node) Statement {
	r.enter(n, "AccountStatement9")
	s := Statement{ID: r.id(n, "Id"), Created: r.time(r.opt(n, "CreDtTm"))}
	if p := r.opt(n, "StmtPgntn"); p != nil {
		r.enter(p, "Pagination1")
		if page := r.token(r.one(p, "PgNb"), 5); page != "1" || !r.flag(p, "LastPgInd") {
			r.at(FaultPages, p, "")
		}
	}
	s.Account, s.Currency = r.accountAndCurrency(n)
	balances := r.balances(n)
	opening, ok := balances["OPBD"]
	if !ok {
		opening, ok = balances["PRCD"]
	}
	closing, closed := balances["CLBD"]
	if !ok || !closed {
		r.fail(FaultMissing, n.path()+"/Bal", n.at, "OPBD or PRCD, and CLBD")
	}
	s.Opening, s.Closing = opening, closing
	if s.Currency == 0 {
		s.Currency = opening.Amount.Currency
	}
	if r.err == nil && (opening.Amount.Currency != s.Currency || closing.Amount.Currency != s.Currency) {
		r.fail(FaultMixedCurrency, n.path()+"/Bal", n.at, "")
	}
	s.Entries = r.entries(n, s.Currency)
	r.check(n, &s)
	return s
}

// check adds up: opening balance and booked entries are the closing balance.
func (r *reader) check(n *node, s *Statement) {
	sum := s.Opening.Amount
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Booked && r.err == nil {
			next, err := sum.Add(e.Signed())
			if err != nil {
				r.at(FaultAmount, n, "the sum of the entries overflows")
			}
			sum = next
		}
	}
	if r.err == nil && sum != s.Closing.Amount {
		r.at(FaultBalance, n, "")
	}
}

func (r *reader) accountAndCurrency(n *node) (Account, tongma.Currency) {
	a := r.one(n, "Acct")
	r.enter(a, "CashAccount39")
	return r.account(a), r.currency(r.opt(a, "Ccy"))
}

// balances reads the balances, and returns those that count by their codes, each
// of which may stand once. Others, and those with a name of the agent's own, only
// have to be readable.
func (r *reader) balances(n *node) map[string]Balance {
	found := map[string]Balance{}
	for _, k := range r.many(n, "Bal") {
		r.enter(k, "CashBalance8")
		t := r.one(k, "Tp")
		r.enter(t, "BalanceType13")
		code, coded := r.choice(r.one(t, "CdOrPrtry"), "BalanceType10Choice", 35)
		b := Balance{Amount: r.money(r.one(k, "Amt")), Date: r.date(r.one(k, "Dt"))}
		if !r.credit(r.one(k, "CdtDbtInd")) {
			b.Amount.Minor = -b.Amount.Minor
		}
		if coded && (code == "OPBD" || code == "PRCD" || code == "CLBD") {
			if _, twice := found[code]; twice {
				r.at(FaultRepeated, k, "")
			}
			found[code] = b
		}
		if r.err != nil {
			break
		}
	}
	return found
}

func (r *reader) advices(m *Message, n *node) {
	r.enter(n, "BankToCustomerDebitCreditNotificationV08")
	r.reportHeader(m, n)
	seen := map[string]bool{}
	all := r.many(n, "Ntfctn")
	if n != nil && len(all) == 0 {
		r.fail(FaultMissing, n.path()+"/Ntfctn", n.at, "")
	}
	for _, k := range all {
		r.enter(k, "AccountNotification17")
		a := Advice{ID: r.id(k, "Id"), Created: r.time(r.opt(k, "CreDtTm"))}
		a.Account, a.Currency = r.accountAndCurrency(k)
		a.Entries = r.entries(k, a.Currency)
		if a.Currency == 0 && len(a.Entries) > 0 {
			a.Currency = a.Entries[0].Amount.Currency
		}
		if seen[a.ID] {
			r.at(FaultDuplicate, k, "")
		}
		seen[a.ID] = true
		m.Advices = append(m.Advices, a)
		if r.err != nil {
			return
		}
	}
}

// entries reads the entries of an account, all of which are in its currency; if
// that is not known, in that of the first.
func (r *reader) entries(n *node, currency tongma.Currency) (all []Entry) {
	seen := map[string]bool{}
	for _, k := range r.many(n, "Ntry") {
		e := r.entry(k)
		if currency == 0 {
			currency = e.Amount.Currency
		}
		if r.err == nil && e.Amount.Currency != currency {
			r.fail(FaultMixedCurrency, k.path()+"/Amt/@Ccy", k.at, "")
		}
		if e.Reference != "" && seen[e.Reference] {
			r.fail(FaultDuplicate, k.path()+"/NtryRef", k.at, "")
		}
		seen[e.Reference] = true
		all = append(all, e)
		if r.err != nil {
			return nil
		}
	}
	return all
}

func (r *reader) entry(n *node) Entry {
	r.enter(n, "ReportEntry10")
	e := Entry{Reference: r.optID(n, "NtryRef"), Amount: r.money(r.one(n, "Amt")), Credit: r.credit(r.one(n, "CdtDbtInd")),
		Reversal:    r.flag(n, "RvslInd"),
		BookingDate: r.date(r.opt(n, "BookgDt")), ValueDate: r.date(r.opt(n, "ValDt")), AgentRef: r.optID(n, "AcctSvcrRef")}
	status, coded := r.choice(r.one(n, "Sts"), "EntryStatus1Choice", 35)
	e.Status, e.Booked = status, coded && status == "BOOK"
	for _, details := range r.many(n, "NtryDtls") {
		r.enter(details, "EntryDetails9")
		for _, k := range r.many(details, "TxDtls") {
			e.Details = append(e.Details, r.detail(k, &e))
		}
	}
	if len(e.Details) == 1 && e.Details[0].Amount == (tongma.Money{}) {
		e.Details[0].Amount = e.Amount
	}
	return e
}

func (r *reader) detail(n *node, e *Entry) Detail {
	r.enter(n, "EntryTransaction10")
	refs := r.opt(n, "Refs")
	r.enter(refs, "TransactionReferences6")
	d := Detail{Message: r.optID(refs, "MsgId"), Instruction: r.optID(refs, "InstrId"), EndToEnd: r.optID(refs, "EndToEndId"),
		UETR: r.uetr(refs, "UETR"), Transaction: r.optID(refs, "TxId"), AgentRef: r.optID(refs, "AcctSvcrRef"),
		Amount: r.money(r.opt(n, "Amt")), Credit: e.Credit}
	if k := r.opt(n, "CdtDbtInd"); k != nil {
		d.Credit = r.credit(k)
	}
	return d
}
