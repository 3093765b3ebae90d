package iso20022

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

type xmlPaymentID struct {
	Instruction string `xml:"InstrId,omitempty"`
	EndToEnd    string `xml:"EndToEndId"`
	UETR        string `xml:"UETR,omitempty"`
}

// xmlTransfers is FinancialInstitutionCreditTransferV08.
type xmlTransfers struct {
	ID         string          `xml:"FICdtTrf>GrpHdr>MsgId"`
	Created    string          `xml:"FICdtTrf>GrpHdr>CreDtTm"`
	Count      int             `xml:"FICdtTrf>GrpHdr>NbOfTxs"`
	Total      xmlAmount       `xml:"FICdtTrf>GrpHdr>TtlIntrBkSttlmAmt"`
	Date       string          `xml:"FICdtTrf>GrpHdr>IntrBkSttlmDt"`
	Settlement *xmlSettlement  `xml:"FICdtTrf>GrpHdr>SttlmInf"`
	Sender     *xmlInstitution `xml:"FICdtTrf>GrpHdr>InstgAgt"`
	Agent      *xmlInstitution `xml:"FICdtTrf>GrpHdr>InstdAgt"`
	Legs       []xmlTransfer   `xml:"FICdtTrf>CdtTrfTxInf"`
}

type xmlTransfer struct {
	PaymentID       xmlPaymentID   `xml:"PmtId"`
	Amount          xmlAmount      `xml:"IntrBkSttlmAmt"`
	Debtor          xmlInstitution `xml:"Dbtr"`
	DebtorAccount   *xmlAccount    `xml:"DbtrAcct"`
	Creditor        xmlInstitution `xml:"Cdtr"`
	CreditorAccount *xmlAccount    `xml:"CdtrAcct"`
	Remittance      []string       `xml:"RmtInf>Ustrd"`
}

// CreditTransfers returns a pacs.009 with one transaction for each instruction: a
// net debtor pays the settlement account, the settlement account pays a net
// creditor, or one participant pays another. All are of one net sheet, one currency and one direction, since
// debits are collected before any credit is paid.
func CreditTransfers(h Heading, instructions []clearing.Instruction) (Document, error) {
	const path = "/Document/FICdtTrf"
	c := faults{op: "iso20022.CreditTransfers"}
	c.heading(path+"/GrpHdr", h.ID, h.Created)
	total := c.instructions(path+"/CdtTrfTxInf", instructions)
	currency := total.Currency.Code()
	x := xmlTransfers{ID: h.ID, Created: stamp(h.Created), Count: len(instructions), Total: c.amountOrZero(path+"/GrpHdr/TtlIntrBkSttlmAmt", total),
		Date: c.date(path+"/GrpHdr/IntrBkSttlmDt", h.Date), Settlement: c.settlement(path+"/GrpHdr/SttlmInf", &h, currency),
		Sender: c.institutionIf(path+"/GrpHdr/InstgAgt", h.Sender), Agent: c.institutionIf(path+"/GrpHdr/InstdAgt", h.Agent)}
	for i := range instructions {
		if c.err != nil {
			break
		}
		x.Legs = append(x.Legs, c.transfer(step(path+"/CdtTrfTxInf", i), &h, &instructions[i]))
	}
	return c.document(Pacs009, h.ID, h.Created, x)
}

func (c *faults) transfer(path string, h *Heading, in *clearing.Instruction) xmlTransfer {
	debtor, creditor := h.Settlement, h.Settlement
	from, to := sides(in)
	if from != "" {
		debtor = c.participant(path+"/Dbtr", h, from)
	}
	if to != "" {
		creditor = c.participant(path+"/Cdtr", h, to)
	}
	currency := in.Amount.Currency.Code()
	return xmlTransfer{
		PaymentID: xmlPaymentID{EndToEnd: in.ID, UETR: UETR(in.ID)}, Amount: c.amount(path+"/IntrBkSttlmAmt", in.Amount),
		Debtor: c.institution(path+"/Dbtr", debtor), DebtorAccount: c.account(path+"/DbtrAcct", debtor.Account, currency),
		Creditor: c.institution(path+"/Cdtr", creditor), CreditorAccount: c.account(path+"/CdtrAcct", creditor.Account, currency),
		Remittance: []string{sheetNote(in)},
	}
}

// sides returns who pays and who is paid; the empty name is the settlement account.
// An instruction that was made by hand may name its participant alone.
func sides(in *clearing.Instruction) (debtor, creditor tongma.ParticipantID) {
	switch {
	case in.Debtor != "" || in.Creditor != "":
		return in.Debtor, in.Creditor
	case in.Debit:
		return in.Participant, ""
	}
	return "", in.Participant
}

// step is the path of the i-th of several, from 1 as XPath counts.
func step(path string, i int) string { return path + "[" + strconv.Itoa(i+1) + "]" }

// mandateNote stands before the mandate in a direct debit's remittance information.
const mandateNote = "mandate "

// cycle writes a window as "win-000012": the set of characters for identifiers has
// no underscore.
func cycle(w tongma.WindowID) string { return strings.ReplaceAll(w.String(), "_", "-") }

// sheetNote binds an instruction to its net sheet: "win-000012 sheet " and the
// 64 digits of the sheet's hash.
func sheetNote(in *clearing.Instruction) string {
	return cycle(in.Window) + " sheet " + hex.EncodeToString(in.Sheet[:])
}

// instructions checks what one message may carry, and returns the sum.
func (c *faults) instructions(path string, ins []clearing.Instruction) (total tongma.Money) {
	switch {
	case len(ins) == 0:
		c.fail(FaultNothing, path, 0, "")
		return total
	case len(ins) > MaxLegs:
		c.fail(FaultTooMany, path, 0, strconv.Itoa(MaxLegs)+" legs")
		return total
	}
	first := &ins[0]
	total.Currency = first.Amount.Currency
	seen := make(map[string]bool, len(ins))
	for i := range ins {
		in, at := &ins[i], step(path, i)
		switch {
		case !validID(in.ID):
			c.fail(FaultID, at+"/PmtId/EndToEndId", 0, "")
		case seen[in.ID]:
			c.fail(FaultDuplicate, at+"/PmtId/EndToEndId", 0, "")
		case in.Amount.Minor <= 0:
			c.fail(FaultAmount, at+"/IntrBkSttlmAmt", 0, "must be more than zero")
		case in.Amount.Currency != first.Amount.Currency:
			c.fail(FaultMixedCurrency, at+"/IntrBkSttlmAmt/@Ccy", 0, "")
		case in.Debit != first.Debit:
			c.fail(FaultDirection, at, 0, "")
		case in.Window == 0 || in.Sheet == [32]byte{}:
			c.fail(FaultMixedSheet, at, 0, "the instruction names no window or no sheet")
		case in.Sheet != first.Sheet || in.Window != first.Window:
			c.fail(FaultMixedSheet, at, 0, "")
		}
		seen[in.ID] = true
		total = c.add(at+"/IntrBkSttlmAmt", total, in.Amount)
	}
	return total
}

// xmlDebits is FinancialInstitutionDirectDebitV03 with one credit instruction.
type xmlDebits struct {
	ID              string          `xml:"FIDrctDbt>GrpHdr>MsgId"`
	Created         string          `xml:"FIDrctDbt>GrpHdr>CreDtTm"`
	Count           int             `xml:"FIDrctDbt>GrpHdr>NbOfTxs"`
	Sender          *xmlInstitution `xml:"FIDrctDbt>GrpHdr>InstgAgt"`
	Agent           *xmlInstitution `xml:"FIDrctDbt>GrpHdr>InstdAgt"`
	CreditID        string          `xml:"FIDrctDbt>CdtInstr>CdtId"`
	Total           xmlAmount       `xml:"FIDrctDbt>CdtInstr>TtlIntrBkSttlmAmt"`
	Date            string          `xml:"FIDrctDbt>CdtInstr>IntrBkSttlmDt"`
	Creditor        xmlInstitution  `xml:"FIDrctDbt>CdtInstr>Cdtr"`
	CreditorAccount *xmlAccount     `xml:"FIDrctDbt>CdtInstr>CdtrAcct"`
	Legs            []xmlDebit      `xml:"FIDrctDbt>CdtInstr>DrctDbtTxInf"`
}

type xmlDebit struct {
	PaymentID     xmlPaymentID   `xml:"PmtId"`
	Amount        xmlAmount      `xml:"IntrBkSttlmAmt"`
	Debtor        xmlInstitution `xml:"Dbtr"`
	DebtorAccount *xmlAccount    `xml:"DbtrAcct"`
	Remittance    []string       `xml:"RmtInf>Ustrd"`
}

// DirectDebits returns a pacs.010 that pulls the net debits of participants that
// have given a mandate into the settlement account: one credit instruction, one
// debit for each instruction. Credits are refused.
func DirectDebits(h Heading, instructions []clearing.Instruction) (Document, error) {
	const path, legs = "/Document/FIDrctDbt", "/Document/FIDrctDbt/CdtInstr/DrctDbtTxInf"
	c := faults{op: "iso20022.DirectDebits"}
	c.heading(path+"/GrpHdr", h.ID, h.Created)
	total := c.instructions(legs, instructions)
	currency := total.Currency.Code()
	x := xmlDebits{ID: h.ID, Created: stamp(h.Created), Count: len(instructions), CreditID: h.ID,
		Sender: c.institutionIf(path+"/GrpHdr/InstgAgt", h.Sender), Agent: c.institutionIf(path+"/GrpHdr/InstdAgt", h.Agent),
		Total: c.amountOrZero(path+"/CdtInstr/TtlIntrBkSttlmAmt", total), Date: c.date(path+"/CdtInstr/IntrBkSttlmDt", h.Date),
		Creditor: c.institution(path+"/CdtInstr/Cdtr", h.Settlement), CreditorAccount: c.account(path+"/CdtInstr/CdtrAcct", h.Settlement.Account, currency)}
	for i := range instructions {
		in, at := &instructions[i], step(legs, i)
		if !in.Debit || in.Creditor != "" {
			c.fail(FaultDirection, at, 0, "a direct debit pays the settlement account")
		}
		p := c.participant(at+"/Dbtr", &h, in.Participant)
		if !validID(p.Mandate) {
			c.fail(FaultMandate, at+"/Dbtr", 0, "")
		}
		if c.err != nil {
			break
		}
		x.Legs = append(x.Legs, xmlDebit{PaymentID: xmlPaymentID{EndToEnd: in.ID, UETR: UETR(in.ID)}, Amount: c.amount(at+"/IntrBkSttlmAmt", in.Amount),
			Debtor: c.institution(at+"/Dbtr", p), DebtorAccount: c.account(at+"/DbtrAcct", p.Account, currency),
			Remittance: []string{sheetNote(in), mandateNote + p.Mandate}})
	}
	return c.document(Pacs010, h.ID, h.Created, x)
}

// xmlLiquidity is LiquidityCreditTransferV05.
type xmlLiquidity struct {
	ID              string         `xml:"LqdtyCdtTrf>MsgHdr>MsgId"`
	Created         string         `xml:"LqdtyCdtTrf>MsgHdr>CreDtTm"`
	TransferID      xmlPaymentID   `xml:"LqdtyCdtTrf>LqdtyCdtTrf>LqdtyTrfId"`
	Creditor        xmlInstitution `xml:"LqdtyCdtTrf>LqdtyCdtTrf>Cdtr"`
	CreditorAccount *xmlAccount    `xml:"LqdtyCdtTrf>LqdtyCdtTrf>CdtrAcct"`
	Amount          xmlAmount      `xml:"LqdtyCdtTrf>LqdtyCdtTrf>TrfdAmt>AmtWthCcy"`
	Debtor          xmlInstitution `xml:"LqdtyCdtTrf>LqdtyCdtTrf>Dbtr"`
	DebtorAccount   *xmlAccount    `xml:"LqdtyCdtTrf>LqdtyCdtTrf>DbtrAcct"`
	Date            string         `xml:"LqdtyCdtTrf>LqdtyCdtTrf>SttlmDt"`
}

// Liquidity moves money between two accounts at the agent, such as a
// participant's prefunding.
type Liquidity struct {
	ID       string // EndToEndId
	From, To Party
	Amount   tongma.Money
}

// LiquidityTransfer returns a camt.050. Of the heading it uses id, time and date.
func LiquidityTransfer(h Heading, t Liquidity) (Document, error) {
	const path = "/Document/LqdtyCdtTrf/LqdtyCdtTrf"
	c := faults{op: "iso20022.LiquidityTransfer"}
	c.heading("/Document/LqdtyCdtTrf/MsgHdr", h.ID, h.Created)
	if !validID(t.ID) {
		c.fail(FaultID, path+"/LqdtyTrfId/EndToEndId", 0, "")
	}
	currency := t.Amount.Currency.Code()
	return c.document(Camt050, h.ID, h.Created, xmlLiquidity{ID: h.ID, Created: stamp(h.Created), TransferID: xmlPaymentID{EndToEnd: t.ID, UETR: UETR(t.ID)},
		Creditor: c.institution(path+"/Cdtr", t.To), CreditorAccount: c.account(path+"/CdtrAcct", t.To.Account, currency),
		Amount: c.amount(path+"/TrfdAmt/AmtWthCcy", t.Amount),
		Debtor: c.institution(path+"/Dbtr", t.From), DebtorAccount: c.account(path+"/DbtrAcct", t.From.Account, currency), Date: c.date(path+"/SttlmDt", h.Date)})
}
