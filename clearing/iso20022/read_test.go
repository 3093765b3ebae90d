package iso20022

import (
	"encoding/xml"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustRead(t *testing.T, data []byte) *Message {
	t.Helper()
	m, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheSampleStatementReads(t *testing.T) {
	data := file(t, "samples/camt.053.001.08.xml")
	lint(t, Camt053, data)
	m := mustRead(t, data)
	kes, _ := tongma.CurrencyByCode("KES")
	amount, day := tongma.Money{Minor: 12_500_050, Currency: kes}, Date{2026, 11, 23}
	want := []Statement{{ID: "STMT-1-KES", Created: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC), Account: Account{Other: "SWITCH-SETTLEMENT-KES"}, Currency: kes,
		Opening: Balance{tongma.Money{Currency: kes}, day}, Closing: Balance{amount, day},
		Entries: []Entry{{Amount: amount, Credit: true, Booked: true, Status: "BOOK", BookingDate: day, ValueDate: day,
			Details: []Detail{{EndToEnd: "NET-20261123-C1-KES-A", Amount: amount, Credit: true}}}}}}
	if m.Definition != Camt053 || m.ID != "STMT-1" || m.Unknown != 0 || !reflect.DeepEqual(m.Statements, want) {
		t.Errorf("%+v", m)
	}
}

// TestTheSamplesOfWhatWeSendHaveOurShape reads messages of another hand into the
// forms that we write.
func TestTheSamplesOfWhatWeSendHaveOurShape(t *testing.T) {
	var transfers xmlTransfers
	var debits xmlDebits
	var sheet xmlMultilateral
	for def, x := range map[Definition]any{Pacs009: &transfers, Pacs010: &debits, Pacs029: &sheet} {
		data := file(t, "samples/"+string(def)+".xml")
		lint(t, def, data)
		if err := xml.Unmarshal(data, x); err != nil {
			t.Fatal(err)
		}
	}
	const id, amount = "NET-20261123-C1-KES-A", "125000.50"
	if l := transfers.Legs[0]; l.PaymentID.EndToEnd != id || l.Amount.Value != amount || l.Debtor.BIC != "AAAAKENAXXX" || l.Creditor.Other.ID != "SWITCH-SETTLEMENT" || transfers.Settlement.System.Proprietary != "BCSWITCH" {
		t.Errorf("%+v", transfers)
	}
	if l := debits.Legs[0]; l.PaymentID.EndToEnd != id || l.Amount.Value != amount || l.Debtor.BIC != "AAAAKENAXXX" || debits.Creditor.Other.ID != "SWITCH-SETTLEMENT" {
		t.Errorf("%+v", debits)
	}
	if len(sheet.Legs) != 3 || sheet.Legs[0].Direction != "DBIT" || sheet.Legs[2].Participant.BIC != "CCCCKENAXXX" || sheet.Cycle != "20261123-C1" {
		t.Errorf("%+v", sheet)
	}
}

func TestAHeaderOfAnotherHandReads(t *testing.T) {
	head := strings.TrimPrefix(string(file(t, "samples/head.001.001.02.xml")), `<?xml version="1.0" encoding="UTF-8"?>`)
	head = strings.Replace(head, "pacs.009.001.08", "camt.053.001.08", 1)
	doc := strings.TrimPrefix(string(file(t, "samples/camt.053.001.08.xml")), `<?xml version="1.0" encoding="UTF-8"?>`)
	want := &Header{From: Party{Other: "BCSWITCH"}, To: Party{BIC: "CBKEKENXXXX"}, ID: "SW-20261123-C1-KES", Definition: Camt053, Created: time.Date(2026, 11, 23, 15, 0, 5, 0, time.UTC)}
	for _, root := range []string{"Envelope", "Message", "BizMsgEnvlp"} {
		m := mustRead(t, []byte("<"+root+">"+head+doc+"</"+root+">"))
		if !reflect.DeepEqual(m.Header, want) || len(m.Statements) != 1 {
			t.Errorf("%+v", m.Header)
		}
	}
	_, err := Read([]byte("<E>" + strings.Replace(head, "camt.053", "camt.054", 1) + doc + "</E>"))
	wantFault(t, err, FaultDefinition, "/E/AppHdr/MsgDefIdr")
	_, err = Read([]byte("<E>" + head + doc + doc + "</E>"))
	wantFault(t, err, FaultRepeated, "/E/Document[2]")
	_, err = Read([]byte("<E>" + strings.Replace(head, "head.001.001.02", "head.001.001.01", 1) + doc + "</E>"))
	wantFault(t, err, FaultNamespace, "/E/AppHdr")
	_, err = Read([]byte(head))
	wantFault(t, err, FaultMissing, "/AppHdr")
}

func TestWhatTheAgentSendsReadsBackAsItWasMeant(t *testing.T) {
	docs := documents(t)
	s := mustRead(t, docs["statement"].XML).Statements[0]
	if len(s.Entries) != 4 || s.Opening.Amount.Minor != -50 || s.Entries[2].Credit || !s.Entries[2].Reversal || s.Entries[3].Booked {
		t.Errorf("%+v", s)
	}
	again := must(t)(StatementReport("MSG-6", at, []Statement{s}))
	if string(again.XML) != string(docs["statement"].XML) {
		t.Errorf("%s", again.XML)
	}
	a := mustRead(t, docs["advice"].XML).Advices
	if again := must(t)(AdviceReport("MSG-7", at, a)); string(again.XML) != string(docs["advice"].XML) {
		t.Errorf("%s", again.XML)
	}
	statuses := mustRead(t, docs["status"].XML).Statuses
	if again := must(t)(StatusReport("MSG-8", at, Pacs009, statuses)); string(again.XML) != string(docs["status"].XML) {
		t.Errorf("%s", again.XML)
	}
}

func TestAMessageInItsEnvelopeReadsAsAlone(t *testing.T) {
	d := documents(t)["statement"]
	h := d.Header(Party{BIC: "CBKXCNBJ", Name: "Central Bank"}, Party{Other: "TONGMA", Scheme: "Agent"})
	whole, err := d.Envelope(h)
	if err != nil {
		t.Fatal(err)
	}
	alone, enveloped := mustRead(t, d.XML), mustRead(t, whole)
	if enveloped.Header == nil || *enveloped.Header != h {
		t.Errorf("%+v", enveloped.Header)
	}
	enveloped.Header = nil
	if !reflect.DeepEqual(alone, enveloped) {
		t.Errorf("%+v", enveloped)
	}
}

const report = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10"><FIToFIPmtStsRpt>
 <GrpHdr><MsgId>R-1</MsgId><CreDtTm>2026-11-23T16:00:00+08:00</CreDtTm></GrpHdr>
 <OrgnlGrpInfAndSts><OrgnlMsgId>MSG-1</OrgnlMsgId><OrgnlMsgNmId>pacs.009.001.08</OrgnlMsgNmId><GrpSts>ACSC</GrpSts></OrgnlGrpInfAndSts>
 <TxInfAndSts><OrgnlEndToEndId>I-1</OrgnlEndToEndId><OrgnlUETR>6a0d3f2e-6c1b-4d5a-9d2e-0f4f1a2b3c4d</OrgnlUETR><TxSts>%</TxSts>
  <StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>account closed</AddtlInf><AddtlInf>ask them</AddtlInf></StsRsnInf><StsRsnInf><Rsn><Prtry>X1</Prtry></Rsn></StsRsnInf>
  <FctvIntrBkSttlmDt><DtTm>2026-11-23T23:30:00+08:00</DtTm></FctvIntrBkSttlmDt><AcctSvcrRef>AG-1</AcctSvcrRef></TxInfAndSts>
</FIToFIPmtStsRpt></Document>`

func TestOnlyACompletedSettlementIsAYes(t *testing.T) {
	for code, want := range map[string]tongma.Outcome{"ACSC": tongma.Approved, "ACCC": tongma.Approved, "RJCT": tongma.Declined, "CANC": tongma.Declined,
		"ACSP": tongma.Unknown, "ACTC": tongma.Unknown, "ACCP": tongma.Unknown, "ACWP": tongma.Unknown, "PDNG": tongma.Unknown, "RCVD": tongma.Unknown, "BLCK": tongma.Unknown,
		"acsc": tongma.Unknown, "YES": tongma.Unknown} {
		data := []byte(strings.Replace(report, "%", code, 1))
		lint(t, Pacs002, data)
		m := mustRead(t, data)
		s := Status{Instruction: "I-1", UETR: "6a0d3f2e-6c1b-4d5a-9d2e-0f4f1a2b3c4d", Original: "MSG-1", Outcome: want, Code: code,
			Reason: "AC04 account closed ask them; X1", Settled: Date{2026, 11, 23}, AgentRef: "AG-1"}
		if len(m.Statuses) != 2 || m.Statuses[1] != s {
			t.Errorf("%s: %+v", code, m.Statuses)
		}
		if whole := m.Statuses[0]; !whole.Whole || (whole.Outcome == tongma.Approved) != (want == tongma.Approved) {
			t.Errorf("%s: a message is settled when one of its instructions is not: %+v", code, whole)
		}
	}
}

func TestNoCodeIsNoAnswer(t *testing.T) {
	m := mustRead(t, []byte(strings.Replace(report, "<TxSts>%</TxSts>", "", 1)))
	if m.Statuses[1].Outcome != tongma.Unknown || m.Statuses[0].Outcome != tongma.Unknown {
		t.Errorf("%+v", m.Statuses)
	}
}

func TestAStatusMustNameItsInstruction(t *testing.T) {
	const path = "/Document/FIToFIPmtStsRpt/TxInfAndSts"
	good := strings.Replace(report, "%", "ACSC", 1)
	id, uetr := "<OrgnlEndToEndId>I-1</OrgnlEndToEndId>", "<OrgnlUETR>6a0d3f2e-6c1b-4d5a-9d2e-0f4f1a2b3c4d</OrgnlUETR>"
	_, err := Read([]byte(strings.Replace(good, id+uetr, "", 1)))
	wantFault(t, err, FaultMissing, path)
	_, err = Read([]byte(strings.Replace(good, "-4d5a-", "-5d5a-", 1)))
	wantFault(t, err, FaultUETR, path+"/OrgnlUETR")
	from, to := strings.Index(good, "<TxInfAndSts>"), strings.Index(good, "</FIToFIPmtStsRpt>")
	_, err = Read([]byte(good[:to] + good[from:to] + good[to:]))
	wantFault(t, err, FaultDuplicate, path+"[2]")
	m := mustRead(t, []byte(strings.Replace(good, id, "<OrgnlInstrId>J-1</OrgnlInstrId>", 1)))
	if m.Statuses[1].Instruction != "J-1" {
		t.Errorf("%+v", m.Statuses)
	}
}

const receipt = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.025.001.05"><Rct><MsgHdr><MsgId>RC-1</MsgId></MsgHdr><RctDtls><OrgnlMsgId><MsgId>MSG-5</MsgId></OrgnlMsgId>
	 <ReqHdlg><StsCd>RJCT</StsCd><Desc>no cover</Desc></ReqHdlg></RctDtls></Rct></Document>`

func TestAReceiptIsTakenByItsNames(t *testing.T) {
	m := mustRead(t, []byte(receipt))
	want := []Status{{Original: "MSG-5", Whole: true, Outcome: tongma.Declined, Code: "RJCT", Reason: "no cover"}}
	if !reflect.DeepEqual(m.Statuses, want) || m.Definition != "camt.025.001.05" || m.Unknown != 0 {
		t.Errorf("%+v", m)
	}
	m = mustRead(t, []byte(strings.NewReplacer("001.05", "001.08", "<StsCd>RJCT</StsCd>", "<Sts><Cd>ACSC</Cd></Sts>").Replace(receipt)))
	if m.Statuses[0].Outcome != tongma.Approved {
		t.Errorf("%+v", m)
	}
	m = mustRead(t, []byte(strings.Replace(receipt, "RJCT", "OKAY", 1)))
	if m.Statuses[0].Outcome != tongma.Unknown {
		t.Errorf("an unheard-of code is no answer: %+v", m)
	}
	_, err := Read([]byte(strings.Replace(receipt, "RctDtls>", "Details>", 2)))
	wantFault(t, err, FaultMissing, "/Document/Rct/RctDtls")
}

const sample = `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
 <GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-11-23T18:00:00.123Z</CreDtTm></GrpHdr>
 <Stmt><Id>S-1</Id><Acct><Id><Othr><Id>ACCT</Id></Othr></Id><Ccy>CNY</Ccy></Acct>
  <Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">10.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-11-23</Dt></Dt></Bal>
  <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">2.5</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-23+08:00</Dt></Dt></Bal>
  <Ntry><NtryRef>E1</NtryRef><Amt Ccy="CNY">12.75</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BkTxCd/></Ntry>
  <Ntry><NtryRef>E2</NtryRef><Amt Ccy="CNY">0.25</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BkTxCd/><NtryDtls><TxDtls><Refs><UETR>6a0d3f2e-6c1b-4d5a-9d2e-0f4f1a2b3c4d</UETR></Refs></TxDtls></NtryDtls></Ntry>
  <Ntry><Amt Ccy="CNY">99.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts><BkTxCd/></Ntry>
 </Stmt>
</BkToCstmrStmt></Document>`

func TestAStatementIsReadWholeOrNotAtAll(t *testing.T) {
	mustRead(t, []byte(sample))
	const stmt = "/Document/BkToCstmrStmt/Stmt"
	for _, c := range []struct {
		name, old, new string
		fault          Fault
		path           string
	}{
		{"does not add up", "12.75", "12.76", FaultBalance, stmt},
		{"a debit turned into a credit", `0.25</Amt><CdtDbtInd>DBIT`, `0.25</Amt><CdtDbtInd>CRDT`, FaultBalance, stmt},
		{"a pending entry booked", "PDNG", "BOOK", FaultBalance, stmt},
		{"three decimals", "12.75", "12.751", FaultDecimals, stmt + "/Ntry[1]/Amt"},
		{"decimals of yen", `"CNY">12.75`, `"JPY">12.75`, FaultDecimals, stmt + "/Ntry[1]/Amt"},
		{"another currency", `"CNY">12.75`, `"USD">12.75`, FaultMixedCurrency, stmt + "/Ntry[1]/Amt/@Ccy"},
		{"a balance of another currency", `"CNY">2.5`, `"USD">2.5`, FaultMixedCurrency, stmt + "/Bal"},
		{"an unknown currency", `"CNY">12.75`, `"XYZ">12.75`, FaultCurrency, stmt + "/Ntry[1]/Amt/@Ccy"},
		{"no currency", `Ccy="CNY">12.75`, `>12.75`, FaultCurrency, stmt + "/Ntry[1]/Amt/@Ccy"},
		{"two currencies", `Ccy="CNY">12.75`, `Ccy="CNY" Ccy="USD">12.75`, FaultMalformed, ""},
		{"less than zero", "12.75", "-12.75", FaultAmount, stmt + "/Ntry[1]/Amt"},
		{"an exponent", "12.75", "1275e-2", FaultAmount, stmt + "/Ntry[1]/Amt"},
		{"a comma", "12.75", "12,75", FaultAmount, stmt + "/Ntry[1]/Amt"},
		{"no amount", "12.75", "", FaultText, stmt + "/Ntry[1]/Amt"},
		{"19 digits", "12.75", "12345678901234567.89", FaultAmount, stmt + "/Ntry[1]/Amt"},
		{"two amounts", `<Amt Ccy="CNY">12.75</Amt>`, `<Amt Ccy="CNY">12.75</Amt><Amt Ccy="CNY">12.75</Amt>`, FaultRepeated, stmt + "/Ntry[1]/Amt[2]"},
		{"no direction", `12.75</Amt><CdtDbtInd>CRDT</CdtDbtInd>`, `12.75</Amt>`, FaultMissing, stmt + "/Ntry[1]/CdtDbtInd"},
		{"another direction", `12.75</Amt><CdtDbtInd>CRDT`, `12.75</Amt><CdtDbtInd>BOTH`, FaultCode, stmt + "/Ntry[1]/CdtDbtInd"},
		{"no status", `<Sts><Cd>PDNG</Cd></Sts>`, ``, FaultMissing, stmt + "/Ntry[3]/Sts"},
		{"two statuses", `<Sts><Cd>PDNG</Cd></Sts>`, `<Sts><Cd>PDNG</Cd><Prtry>X</Prtry></Sts>`, FaultMissing, stmt + "/Ntry[3]/Sts"},
		{"a balance by a name of the agent's own", "<Cd>OPBD</Cd>", "<Prtry>OPBD</Prtry>", FaultMissing, stmt + "/Bal"},
		{"an entry booked by a name of the agent's own", "<Cd>BOOK</Cd>", "<Prtry>BOOK</Prtry>", FaultBalance, stmt},
		{"an entry twice", "E2", "E1", FaultDuplicate, stmt + "/Ntry[2]/NtryRef"},
		{"a UETR of version 5", "-4d5a-", "-5d5a-", FaultUETR, stmt + "/Ntry[2]/NtryDtls/TxDtls/Refs/UETR"},
		{"30 February", "2026-11-23</Dt>", "2026-02-30</Dt>", FaultDate, stmt + "/Bal[1]/Dt/Dt"},
		{"no such hour", "18:00:00.123Z", "25:00:00.123Z", FaultDate, "/Document/BkToCstmrStmt/GrpHdr/CreDtTm"},
		{"no opening balance", "OPBD", "OPAV", FaultMissing, stmt + "/Bal"},
		{"two closing balances", "OPBD", "CLBD", FaultRepeated, stmt + "/Bal[2]"},
		{"no account", "<Othr><Id>ACCT</Id></Othr>", "", FaultAccount, stmt + "/Acct/Id"},
		{"an IBAN mistyped", "<Othr><Id>ACCT</Id></Othr>", "<IBAN>GB82WEST12345698765423</IBAN>", FaultAccount, stmt + "/Acct/Id/IBAN"},
		{"an id of 36", "<Id>S-1</Id>", "<Id>" + strings.Repeat("9", 36) + "</Id>", FaultText, stmt + "/Id"},
		{"an id with a blank in front", "<Id>S-1</Id>", "<Id> S-1</Id>", FaultText, stmt + "/Id"},
		{"an id with elements in it", "<Id>S-1</Id>", "<Id>S-1<b/></Id>", FaultText, stmt + "/Id"},
		{"text between elements", "<Stmt>", "<Stmt>hello", FaultMalformed, stmt},
		{"a statement twice", "</BkToCstmrStmt>", sample[strings.Index(sample, "<Stmt>"):strings.Index(sample, "</BkToCstmrStmt>")] + "</BkToCstmrStmt>", FaultDuplicate, stmt + "[2]"},
		{"a page of several", "<Acct>", "<StmtPgntn><PgNb>1</PgNb><LastPgInd>false</LastPgInd></StmtPgntn><Acct>", FaultPages, stmt + "/StmtPgntn"},
		{"another version", "camt.053.001.08", "camt.053.001.02", FaultNamespace, "/Document"},
		{"another namespace", "urn:iso:std", "urn:iso:STD", FaultNamespace, "/Document"},
		{"no namespace", ` xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"`, "", FaultNamespace, "/Document"},
		{"elements of another namespace", "<BkToCstmrStmt>", `<BkToCstmrStmt xmlns="urn:x">`, FaultMissing, "/Document/BkToCstmrStmt"},
		{"another encoding", `encoding="UTF-8"`, `encoding="ISO-8859-1"`, FaultMalformed, ""},
		{"cut off", "</BkToCstmrStmt></Document>", "", FaultMalformed, ""},
		{"something behind the end", "</Document>", "</Document><Document/>", FaultMalformed, ""},
		{"text behind the end", "</Document>", "</Document>x", FaultMalformed, ""},
		{"an unclosed tag", "</Ntry>", "", FaultMalformed, ""},
		{"an entity of its own", "S-1", "&lol;", FaultMalformed, ""},
		{"a document type", "<Document ", `<!DOCTYPE Document SYSTEM "http://example.org/x.dtd"><Document `, FaultDoctype, ""},
		{"a processing instruction", "<Stmt>", `<?php x?><Stmt>`, FaultDoctype, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			spoiled := strings.Replace(sample, c.old, c.new, 1)
			if spoiled == sample {
				t.Fatal("nothing was changed")
			}
			m, err := Read([]byte(spoiled))
			if m != nil {
				t.Error("read all the same")
			}
			wantFault(t, err, c.fault, c.path)
		})
	}
}

func TestWhatTheSchemaAllowsIsRead(t *testing.T) {
	for name, c := range map[string]struct{ old, new string }{
		"a prefix":               {`<Document xmlns="`, `<Document xmlns:unused="urn:y" xmlns="`},
		"a byte order mark":      {"<?xml", "\ufeff<?xml"},
		"comments":               {"12.75", "12<!-- and -->.75"},
		"character data":         {"S-1", "<![CDATA[S-1]]>"},
		"blanks around numbers":  {"12.75", "\n 12.75 "},
		"zeros behind":           {"12.75", "12.75000"},
		"previous closing":       {"OPBD", "PRCD"},
		"another balance":        {"<Ntry>", `<Bal><Tp><CdOrPrtry><Cd>CLAV</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">7</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><DtTm>2026-11-23T00:00:00</DtTm></Dt></Bal><Ntry>`},
		"no currency of its own": {"<Ccy>CNY</Ccy>", ""},
		"the only page":          {"<Acct>", "<StmtPgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></StmtPgntn><Acct>"},
		"no entries' refs":       {"<NtryRef>E1</NtryRef>", ""},
	} {
		changed := strings.Replace(sample, c.old, c.new, 1)
		if m := mustRead(t, []byte(changed)); changed == sample || m.Unknown != 0 || m.Statements[0].ID != "S-1" || m.Statements[0].Closing.Amount.Minor != 250 || m.Statements[0].Entries[0].Amount.Minor != 1275 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	prefixed := strings.NewReplacer("<Document xmlns=", "<c:Document xmlns:c=", "</", "</c:", "<?", "<?", "<", "<c:").Replace(sample)
	if m := mustRead(t, []byte(prefixed)); m.Statements[0].Entries[0].Amount.Minor != 1275 {
		t.Errorf("%+v", m)
	}
}

func TestUnknownElementsAreToleratedAndCounted(t *testing.T) {
	for _, c := range []struct {
		old, new string
		unknown  int
	}{
		{"<BkTxCd/>", "<BkTxCd><Domn><Whatever/></Domn></BkTxCd>", 0}, // known, and not looked into
		{"<BkTxCd/>", "<BkTxCd/><NewThing><Inside/></NewThing><Other/>", 2},
		{"<BkTxCd/>", `<BkTxCd/><Amt xmlns="urn:other" Ccy="USD">1</Amt>`, 1},
		{"<Stmt>", "<Stmnt/><Stmt>", 1},
		{"<BkToCstmrStmt>", "<Extra/><BkToCstmrStmt>", 1},
	} {
		if m := mustRead(t, []byte(strings.Replace(sample, c.old, c.new, 1))); m.Unknown != c.unknown {
			t.Errorf("%s: %d", c.new, m.Unknown)
		}
	}
}

func TestTheSameInstructionInTwoEntriesIsForReconciliation(t *testing.T) {
	refs := "<NtryDtls><TxDtls><Refs><EndToEndId>I-1</EndToEndId></Refs></TxDtls></NtryDtls>"
	twice := strings.Replace(strings.Replace(sample, "<BkTxCd/></Ntry>", "<BkTxCd/>"+refs+"</Ntry>", 2), "PDNG", "INFO", 1)
	m := mustRead(t, []byte(twice))
	if e := m.Statements[0].Entries; e[0].Details[0].EndToEnd != "I-1" || e[2].Details[0].EndToEnd != "I-1" || e[2].Status != "INFO" || e[2].Booked {
		t.Errorf("%+v", e)
	}
}

func TestReferencesThatContradictEachOtherAreNotOurs(t *testing.T) {
	const id = "21152da5655ee425d69928e12e2575d5"
	for _, c := range []struct {
		endToEnd, uetr string
		ours           bool
	}{
		{id, "", true}, {"", UETR(id), true}, {id, UETR(id), true}, {"NOTPROVIDED", UETR(id), true},
		{"", "", false}, {"NOTPROVIDED", "", false}, {id, UETR("other"), false}, {"other", UETR(id), false}, {"other", "", false},
	} {
		d, s := Detail{EndToEnd: c.endToEnd, UETR: c.uetr}, Status{Instruction: c.endToEnd, UETR: c.uetr}
		if d.About(id) != c.ours || s.About(id) != c.ours {
			t.Errorf("%+v", c)
		}
		if s.Whole = true; s.About(id) {
			t.Error("a status of a whole message is about no instruction by itself")
		}
	}
	if empty := (Detail{}); empty.About("") {
		t.Error("nothing is about nothing")
	}
}

func TestErrorsOfReadingNameNoValue(t *testing.T) {
	_, err := Read([]byte(strings.Replace(sample, "<Othr><Id>ACCT</Id></Othr>", "<IBAN>GB82WEST12345698765423</IBAN>", 1)))
	if err == nil || strings.Contains(err.Error(), "9876") {
		t.Error(err)
	}
	if _, err := Read([]byte(strings.Replace(sample, "12.75", "12.7x4242", 1))); err == nil || strings.Contains(err.Error(), "4242") {
		t.Error(err)
	}
}
