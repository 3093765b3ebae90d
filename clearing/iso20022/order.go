package iso20022

import (
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// Order is a message of ours as its receiver reads it: what the switch tells the
// settlement agent to move.
type Order struct {
	Definition Definition
	ID         string // of the message: the key by which the agent knows a repeat
	Created    time.Time
	Header     *Header // of the envelope; nil if the document came alone
	Date       Date    // the settlement date; a pacs.029 has none
	Cycle      string  // SttlmCycl of a pacs.029
	Legs       []OrderLeg
	Unknown    int // elements that the schema does not have where they stand
}

// OrderLeg is one movement of an order. In a pacs.029 one of the two parties is
// none: that side is the settlement account.
type OrderLeg struct {
	ID       string // EndToEndId, or Id of the movement
	UETR     string // may be empty
	Amount   tongma.Money
	Debtor   Party
	Creditor Party
	Notes    []string // remittance information: the sheet, and the mandate of a direct debit
}

// Mandate returns the mandate that a direct debit names, or "".
func (l *OrderLeg) Mandate() string {
	for _, n := range l.Notes {
		if m, ok := strings.CutPrefix(n, mandateNote); ok {
			return m
		}
	}
	return ""
}

// ReadOrder reads a pacs.009, pacs.010, pacs.029 or camt.050, alone or in an
// envelope, under the same bounds and rules as Read. What the schema leaves open
// is checked here too: counts and sums are those of the legs, no id stands twice,
// all legs are in one currency, and the legs of a pacs.029 sum to zero.
func ReadOrder(data []byte) (*Order, error) {
	r := reader{faults: &faults{op: "iso20022.ReadOrder"}}
	o := &Order{}
	head, doc := r.open(r.parse(data))
	if doc != nil && r.err == nil {
		o.Definition = Definition(strings.TrimPrefix(doc.name.Space, namespaceStem))
		r.space = doc.name.Space
		r.order(o, doc)
	}
	if head != nil && r.err == nil {
		o.Header = r.header(head, &Message{Definition: o.Definition})
		if r.err == nil && o.Header.ID != o.ID {
			r.at(FaultID, head, "differs from the document's id")
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	o.Unknown = r.unknown
	return o, nil
}

func (r *reader) order(o *Order, doc *node) {
	if doc.mixed {
		r.at(FaultMalformed, doc, "text stands between elements")
	}
	switch o.Definition {
	case Pacs009:
		r.transfers(o, r.one(doc, "FICdtTrf"))
	case Pacs010:
		r.debits(o, r.one(doc, "FIDrctDbt"))
	case Pacs029:
		r.multilateral(o, r.one(doc, "MulSttlmReq"))
	case Camt050:
		r.liquidity(o, r.one(doc, "LqdtyCdtTrf"))
	default:
		r.at(FaultNamespace, doc, "this message or version is not read")
	}
	seen := map[string]bool{}
	for i := range o.Legs {
		if l := &o.Legs[i]; r.err == nil && seen[l.ID] {
			r.fail(FaultDuplicate, step(doc.path()+"/leg", i), 0, "")
		} else if r.err == nil && l.Amount.Currency != o.Legs[0].Amount.Currency {
			r.fail(FaultMixedCurrency, step(doc.path()+"/leg", i), 0, "")
		}
		seen[o.Legs[i].ID] = true
	}
	r.unknown += len(doc.kids) - 1
}

// orderHead reads the header of a message of a type.
func (r *reader) orderHead(o *Order, h *node, typ string) {
	r.enter(h, typ)
	o.ID, o.Created = r.id(h, "MsgId"), r.time(r.one(h, "CreDtTm"))
}

// children returns the legs, at least one and at most MaxLegs.
func (r *reader) children(n *node, name string) []*node {
	found := r.many(n, name)
	switch {
	case n == nil || r.err != nil:
		return nil
	case len(found) == 0:
		r.fail(FaultMissing, n.path()+"/"+name, n.at, "")
	case len(found) > MaxLegs:
		r.at(FaultTooMany, found[MaxLegs], strconv.Itoa(MaxLegs)+" legs")
		return nil
	}
	return found
}

// counted holds a count that the sender gave against what there is.
func (r *reader) counted(n *node, count int) {
	if s := r.token(n, 15); n != nil && r.err == nil && s != strconv.Itoa(count) {
		r.at(FaultCount, n, "there are "+strconv.Itoa(count))
	}
}

// totalled holds a sum that the sender gave, or not, against that of the legs.
func (r *reader) totalled(n *node, legs []OrderLeg) {
	if n == nil || r.err != nil || len(legs) == 0 {
		return
	}
	sum := tongma.Money{Currency: legs[0].Amount.Currency}
	for i := range legs {
		if legs[i].Amount.Currency == sum.Currency { // a mixture is refused by itself
			sum = r.add(n.path(), sum, legs[i].Amount)
		}
	}
	if total := r.money(n); r.err == nil && total != sum {
		r.at(FaultCount, n, "the legs sum to another amount")
	}
}

func (r *reader) payable(n *node) tongma.Money {
	m := r.money(n)
	if n != nil && r.err == nil && m.Minor == 0 {
		r.at(FaultAmount, n, "must be more than zero")
	}
	return m
}

// day reads ISODate.
func (r *reader) day(n *node) Date {
	d, ok := parseDate(r.token(n, 16))
	if n != nil && !ok {
		r.at(FaultDate, n, "")
	}
	return d
}

// institutionOf reads an institution and its account, which may be missing.
func (r *reader) institutionOf(n, account *node, typ string) (p Party) {
	r.enter(n, "BranchAndFinancialInstitutionIdentification6")
	in := r.one(n, "FinInstnId")
	r.enter(in, "FinancialInstitutionIdentification18")
	other := r.opt(in, "Othr")
	r.enter(other, "GenericFinancialIdentification1")
	p = r.identified(n, r.optText(in, "Nm", 140), r.opt(in, "BICFI"), r.opt(in, "LEI"), other, "FinancialIdentificationSchemeName1Choice")
	if account != nil {
		r.enter(account, typ)
		p.Account = r.account(account)
	}
	return p
}

// organisationOf is institutionOf for the parties of a pacs.029.
func (r *reader) organisationOf(n, account *node) (p Party) {
	r.enter(n, "PartyIdentification272")
	id := r.one(n, "Id")
	r.enter(id, "Party52Choice")
	org := r.one(id, "OrgId")
	r.enter(org, "OrganisationIdentification39")
	var other *node
	if others := r.many(org, "Othr"); len(others) > 0 {
		other = others[0]
	}
	r.enter(other, "GenericOrganisationIdentification3")
	p = r.identified(n, r.optText(n, "Nm", 140), r.opt(org, "AnyBIC"), r.opt(org, "LEI"), other, "OrganisationIdentificationSchemeName1Choice")
	if account != nil {
		r.enter(account, "CashAccount40")
		p.Account = r.account(account)
	}
	return p
}

// identified puts a party together; a name alone does not identify.
func (r *reader) identified(n *node, name string, bic, lei, other *node, scheme string) Party {
	p := r.lei(Party{Name: name, BIC: r.text(bic, 11)}, lei)
	if bic != nil && r.err == nil && !validBIC(p.BIC) {
		r.at(FaultParty, bic, "not of the form of ISO 9362")
	}
	if other != nil {
		p.Other, p.Scheme = r.id(other, "Id"), ""
		if s := r.opt(other, "SchmeNm"); s != nil {
			p.Scheme, _ = r.choice(s, scheme, 35)
		}
	}
	if n != nil && r.err == nil && p.BIC == "" && p.Other == "" {
		r.at(FaultParty, n, "neither BIC nor another id")
	}
	return p
}

// lei returns a party with its LEI, if it has one; an id that the agent gave goes before.
func (r *reader) lei(p Party, n *node) Party {
	if n == nil || r.err != nil {
		return p
	}
	q := p
	q.Other, q.Scheme = r.text(n, 20), schemeLEI
	if q.lei() == "" {
		r.at(FaultParty, n, "not of the form of ISO 17442")
		return p
	}
	return q
}

// notes reads remittance information.
func (r *reader) notes(n *node) (all []string) {
	r.enter(n, "RemittanceInformation2")
	for i, k := range r.many(n, "Ustrd") {
		if i < maxReasons {
			all = append(all, r.text(k, 140))
		}
	}
	return all
}

// reference reads the ids of a transaction into a leg.
func (r *reader) reference(l *OrderLeg, n *node, typ string) {
	r.enter(n, typ)
	l.ID, l.UETR = r.id(n, "EndToEndId"), r.uetr(n, "UETR")
}

func (r *reader) transfers(o *Order, n *node) {
	r.enter(n, "FinancialInstitutionCreditTransferV08")
	h := r.one(n, "GrpHdr")
	r.orderHead(o, h, "GroupHeader93")
	o.Date = r.day(r.opt(h, "IntrBkSttlmDt"))
	for _, k := range r.children(n, "CdtTrfTxInf") {
		r.enter(k, "CreditTransferTransaction36")
		l := OrderLeg{Amount: r.payable(r.one(k, "IntrBkSttlmAmt")), Notes: r.notes(r.opt(k, "RmtInf")),
			Debtor:   r.institutionOf(r.one(k, "Dbtr"), r.opt(k, "DbtrAcct"), "CashAccount38"),
			Creditor: r.institutionOf(r.one(k, "Cdtr"), r.opt(k, "CdtrAcct"), "CashAccount38")}
		r.reference(&l, r.one(k, "PmtId"), "PaymentIdentification7")
		if o.Legs = append(o.Legs, l); r.err != nil {
			return
		}
	}
	r.counted(r.one(h, "NbOfTxs"), len(o.Legs))
	r.totalled(r.opt(h, "TtlIntrBkSttlmAmt"), o.Legs)
}

func (r *reader) debits(o *Order, n *node) {
	r.enter(n, "FinancialInstitutionDirectDebitV03")
	h, in := r.one(n, "GrpHdr"), r.one(n, "CdtInstr")
	r.orderHead(o, h, "GroupHeader92")
	r.enter(in, "CreditTransferTransaction38")
	o.Date = r.day(r.opt(in, "IntrBkSttlmDt"))
	creditor := r.institutionOf(r.one(in, "Cdtr"), r.opt(in, "CdtrAcct"), "CashAccount38")
	for _, k := range r.children(in, "DrctDbtTxInf") {
		r.enter(k, "DirectDebitTransactionInformation25")
		l := OrderLeg{Amount: r.payable(r.one(k, "IntrBkSttlmAmt")), Notes: r.notes(r.opt(k, "RmtInf")), Creditor: creditor,
			Debtor: r.institutionOf(r.one(k, "Dbtr"), r.opt(k, "DbtrAcct"), "CashAccount38")}
		r.reference(&l, r.one(k, "PmtId"), "PaymentIdentification7")
		if o.Legs = append(o.Legs, l); r.err != nil {
			return
		}
	}
	r.counted(r.one(h, "NbOfTxs"), len(o.Legs))
	r.totalled(r.opt(in, "TtlIntrBkSttlmAmt"), o.Legs)
}

func (r *reader) multilateral(o *Order, n *node) {
	r.enter(n, "MultilateralSettlementRequestV02")
	h, q := r.one(n, "GrpHdr"), r.one(n, "SttlmReq")
	r.orderHead(o, h, "GroupHeader104")
	r.enter(q, "MultilateralSettlementRequest3")
	o.Cycle = r.optText(q, "SttlmCycl", maxID)
	net := tongma.Money{}
	for _, k := range r.children(q, "MvmntRcrd") {
		r.enter(k, "MovementRecord2")
		amount := r.one(k, "Amt")
		r.enter(amount, "AmountAndDirection5")
		l := OrderLeg{ID: r.id(k, "Id"), Amount: r.payable(r.one(amount, "Amt"))}
		party, signed := r.organisationOf(r.one(k, "Ptcpt"), r.opt(k, "PtcptAcct")), l.Amount
		if r.credit(r.one(amount, "CdtDbt")) {
			l.Creditor = party
			signed.Minor = -signed.Minor
		} else {
			l.Debtor = party
		}
		if net.Currency == 0 {
			net.Currency = signed.Currency
		}
		if signed.Currency == net.Currency { // a mixture is refused by itself
			net = r.add(k.path(), net, signed)
		}
		if o.Legs = append(o.Legs, l); r.err != nil {
			return
		}
	}
	if r.err == nil && net.Minor != 0 {
		r.at(FaultNotZero, q, "")
	}
	r.counted(r.one(h, "NbOfSttlmReqs"), 1)
	r.counted(r.one(q, "NbOfMvmntRcrds"), len(o.Legs))
}

func (r *reader) liquidity(o *Order, n *node) {
	r.enter(n, "LiquidityCreditTransferV05")
	r.orderHead(o, r.one(n, "MsgHdr"), "MessageHeader1")
	k := r.one(n, "LqdtyCdtTrf")
	r.enter(k, "LiquidityCreditTransfer2")
	o.Date = r.day(r.opt(k, "SttlmDt"))
	amount := r.one(k, "TrfdAmt")
	r.enter(amount, "Amount2Choice")
	l := OrderLeg{Amount: r.payable(r.one(amount, "AmtWthCcy")),
		Debtor:   r.institutionOf(r.one(k, "Dbtr"), r.opt(k, "DbtrAcct"), "CashAccount38"),
		Creditor: r.institutionOf(r.one(k, "Cdtr"), r.opt(k, "CdtrAcct"), "CashAccount38")}
	r.reference(&l, r.one(k, "LqdtyTrfId"), "PaymentIdentification8")
	o.Legs = append(o.Legs, l)
}
