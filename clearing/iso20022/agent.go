package iso20022

import (
	"time"

	"github.com/tongma/tongma"
)

// What a settlement agent sends: for agents that are simulated, and to prove that
// what is read is what was meant. Each message is read back before it is given
// out, so that nothing leaves here that Read would refuse.

type xmlReason struct {
	Info string `xml:"AddtlInf"`
}

type xmlOriginal struct {
	ID         string      `xml:"OrgnlMsgId"`
	Definition Definition  `xml:"OrgnlMsgNmId"`
	Status     string      `xml:"GrpSts,omitempty"`
	Reasons    []xmlReason `xml:"StsRsnInf"`
}

type xmlStatus struct {
	Original *xmlOriginal `xml:"OrgnlGrpInf"`
	EndToEnd string       `xml:"OrgnlEndToEndId,omitempty"`
	UETR     string       `xml:"OrgnlUETR,omitempty"`
	Status   string       `xml:"TxSts,omitempty"`
	Reasons  []xmlReason  `xml:"StsRsnInf"`
	Settled  *xmlDay      `xml:"FctvIntrBkSttlmDt"`
	AgentRef string       `xml:"AcctSvcrRef,omitempty"`
}

// xmlStatusReport is FIToFIPaymentStatusReportV10.
type xmlStatusReport struct {
	ID        string        `xml:"FIToFIPmtStsRpt>GrpHdr>MsgId"`
	Created   string        `xml:"FIToFIPmtStsRpt>GrpHdr>CreDtTm"`
	Originals []xmlOriginal `xml:"FIToFIPmtStsRpt>OrgnlGrpInfAndSts"`
	Statuses  []xmlStatus   `xml:"FIToFIPmtStsRpt>TxInfAndSts"`
}

type xmlDay struct {
	Date string `xml:"Dt"`
}

func dayOf(d Date) *xmlDay {
	if d.IsZero() {
		return nil
	}
	return &xmlDay{d.String()}
}

func reasonsOf(s Status) []xmlReason {
	if s.Reason == "" {
		return nil
	}
	return []xmlReason{{s.Reason}}
}

// StatusReport returns a pacs.002 on instructions that came in messages of one
// definition. Statuses of whole messages stand before those of instructions; a
// reason is text of at most 105 characters.
func StatusReport(id string, created time.Time, about Definition, statuses []Status) (Document, error) {
	c := faults{op: "iso20022.StatusReport"}
	c.heading("/Document/FIToFIPmtStsRpt/GrpHdr", id, created)
	x := xmlStatusReport{ID: id, Created: stamp(created)}
	for _, s := range statuses {
		if s.Whole {
			x.Originals = append(x.Originals, xmlOriginal{s.Original, about, s.Code, reasonsOf(s)})
			continue
		}
		t := xmlStatus{EndToEnd: s.Instruction, UETR: s.UETR, Status: s.Code, Reasons: reasonsOf(s), Settled: dayOf(s.Settled), AgentRef: s.AgentRef}
		if s.Original != "" {
			t.Original = &xmlOriginal{ID: s.Original, Definition: about}
		}
		x.Statuses = append(x.Statuses, t)
	}
	return c.readBack(c.document(Pacs002, id, created, x))
}

// xmlReceipt is a camt.025 as Read takes it: its schema is not at hand here.
type xmlReceipt struct {
	ID       string `xml:"Rct>MsgHdr>MsgId"`
	Created  string `xml:"Rct>MsgHdr>CreDtTm"`
	Original string `xml:"Rct>RctDtls>OrgnlMsgId>MsgId"`
	Code     string `xml:"Rct>RctDtls>ReqHdlg>StsCd"`
	Reason   string `xml:"Rct>RctDtls>ReqHdlg>Desc,omitempty"`
}

// Receipt returns a camt.025 on a whole message, such as a camt.050. Of the status
// it uses the original message, the code, and the reason, at most 140 characters.
// No schema was at hand: it is what Read takes, and not validated.
func Receipt(id string, created time.Time, s Status) (Document, error) {
	c := faults{op: "iso20022.Receipt"}
	c.heading("/Document/Rct/MsgHdr", id, created)
	return c.readBack(c.document(Camt025, id, created, xmlReceipt{id, stamp(created), s.Original, s.Code, s.Reason}))
}

func (c *faults) readBack(d Document, err error) (Document, error) {
	if err != nil {
		return Document{}, err
	}
	if _, err := Read(d.XML); err != nil {
		return Document{}, &tongma.Error{Op: c.op, Reason: tongma.ReasonOf(err), Err: err}
	}
	return d, nil
}

type (
	xmlReportAccount struct {
		ID       string       `xml:"Id"`
		Created  string       `xml:"CreDtTm,omitempty"`
		Account  *xmlAccount  `xml:"Acct"`
		Balances []xmlBalance `xml:"Bal"`
		Entries  []xmlEntry   `xml:"Ntry"`
	}
	xmlBalance struct {
		Code      string    `xml:"Tp>CdOrPrtry>Cd"`
		Amount    xmlAmount `xml:"Amt"`
		Direction string    `xml:"CdtDbtInd"`
		Day       xmlDay    `xml:"Dt"`
	}
	xmlEntry struct {
		Reference   string      `xml:"NtryRef,omitempty"`
		Amount      xmlAmount   `xml:"Amt"`
		Direction   string      `xml:"CdtDbtInd"`
		Reversal    bool        `xml:"RvslInd,omitempty"`
		Status      string      `xml:"Sts>Cd"`
		BookingDate *xmlDay     `xml:"BookgDt"`
		ValueDate   *xmlDay     `xml:"ValDt"`
		AgentRef    string      `xml:"AcctSvcrRef,omitempty"`
		Domain      string      `xml:"BkTxCd>Domn>Cd"`
		Family      string      `xml:"BkTxCd>Domn>Fmly>Cd"`
		SubFamily   string      `xml:"BkTxCd>Domn>Fmly>SubFmlyCd"`
		Details     *xmlDetails `xml:"NtryDtls"`
	}
	xmlDetails struct {
		All []xmlDetail `xml:"TxDtls"`
	}
	xmlDetail struct {
		References *xmlReferences `xml:"Refs"`
		Amount     *xmlAmount     `xml:"Amt"`
		Direction  string         `xml:"CdtDbtInd"`
	}
	xmlReferences struct {
		Message     string `xml:"MsgId,omitempty"`
		AgentRef    string `xml:"AcctSvcrRef,omitempty"`
		Instruction string `xml:"InstrId,omitempty"`
		EndToEnd    string `xml:"EndToEndId,omitempty"`
		UETR        string `xml:"UETR,omitempty"`
		Transaction string `xml:"TxId,omitempty"`
	}
	// xmlStatements is BankToCustomerStatementV08.
	xmlStatements struct {
		ID      string             `xml:"BkToCstmrStmt>GrpHdr>MsgId"`
		Created string             `xml:"BkToCstmrStmt>GrpHdr>CreDtTm"`
		All     []xmlReportAccount `xml:"BkToCstmrStmt>Stmt"`
	}
	// xmlAdvices is BankToCustomerDebitCreditNotificationV08.
	xmlAdvices struct {
		ID      string             `xml:"BkToCstmrDbtCdtNtfctn>GrpHdr>MsgId"`
		Created string             `xml:"BkToCstmrDbtCdtNtfctn>GrpHdr>CreDtTm"`
		All     []xmlReportAccount `xml:"BkToCstmrDbtCdtNtfctn>Ntfctn"`
	}
)

// StatementReport returns a camt.053. A statement that does not add up is
// refused.
func StatementReport(id string, created time.Time, statements []Statement) (Document, error) {
	const path = "/Document/BkToCstmrStmt"
	c := faults{op: "iso20022.StatementReport"}
	c.heading(path+"/GrpHdr", id, created)
	x := xmlStatements{ID: id, Created: stamp(created)}
	for i, s := range statements {
		at := step(path+"/Stmt", i)
		a := c.reportAccount(at, s.ID, s.Created, s.Account, s.Currency, s.Entries)
		a.Balances = []xmlBalance{c.balance(at+"/Bal[1]", "OPBD", s.Opening), c.balance(at+"/Bal[2]", "CLBD", s.Closing)}
		x.All = append(x.All, a)
	}
	return c.readBack(c.document(Camt053, id, created, x))
}

// AdviceReport returns a camt.054.
func AdviceReport(id string, created time.Time, advices []Advice) (Document, error) {
	const path = "/Document/BkToCstmrDbtCdtNtfctn"
	c := faults{op: "iso20022.AdviceReport"}
	c.heading(path+"/GrpHdr", id, created)
	x := xmlAdvices{ID: id, Created: stamp(created)}
	for i, a := range advices {
		x.All = append(x.All, c.reportAccount(step(path+"/Ntfctn", i), a.ID, a.Created, a.Account, a.Currency, a.Entries))
	}
	return c.readBack(c.document(Camt054, id, created, x))
}

func (c *faults) reportAccount(path, id string, created time.Time, a Account, currency tongma.Currency, entries []Entry) xmlReportAccount {
	x := xmlReportAccount{ID: id, Account: c.account(path+"/Acct", a, currency.Code())}
	if x.Account == nil {
		c.fail(FaultAccount, path+"/Acct", 0, "")
	}
	if !created.IsZero() {
		x.Created = stamp(created)
	}
	for i := range entries {
		x.Entries = append(x.Entries, c.reportEntry(step(path+"/Ntry", i), &entries[i]))
	}
	return x
}

func (c *faults) balance(path, code string, b Balance) xmlBalance {
	credit := b.Amount.Minor >= 0
	if !credit {
		b.Amount.Minor = -b.Amount.Minor
	}
	return xmlBalance{code, c.amountOrZero(path+"/Amt", b.Amount), direction(credit), xmlDay{c.date(path+"/Dt/Dt", b.Date)}}
}

func (c *faults) reportEntry(path string, e *Entry) xmlEntry {
	status := e.Status
	if status == "" {
		status = "PDNG"
		if e.Booked {
			status = "BOOK"
		}
	}
	x := xmlEntry{Reference: e.Reference, Amount: c.amountOrZero(path+"/Amt", e.Amount), Direction: direction(e.Credit), Reversal: e.Reversal, Status: status,
		BookingDate: dayOf(e.BookingDate), ValueDate: dayOf(e.ValueDate), AgentRef: e.AgentRef, Domain: "PMNT", Family: "ICDT", SubFamily: "FICT"}
	if e.Credit {
		x.Family = "RCDT"
	}
	for _, d := range e.Details {
		detail := xmlDetail{Direction: direction(d.Credit)}
		if refs := (xmlReferences{d.Message, d.AgentRef, d.Instruction, d.EndToEnd, d.UETR, d.Transaction}); refs != (xmlReferences{}) {
			detail.References = &refs
		}
		if d.Amount != (tongma.Money{}) {
			amount := c.amountOrZero(path+"/NtryDtls/TxDtls/Amt", d.Amount)
			detail.Amount = &amount
		}
		if x.Details == nil {
			x.Details = &xmlDetails{}
		}
		x.Details.All = append(x.Details.All, detail)
	}
	return x
}
