package iso20022

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

var update = flag.Bool("update", false, "write the golden files")

var at = time.Date(2026, 11, 23, 15, 0, 5, 0, time.UTC)

// heading is a market of four participants, each identified in another way.
func heading(id string) Heading {
	return Heading{
		ID: id, Created: at, Date: Date{2026, 11, 23}, System: "TONGMA",
		Settlement: Party{Name: "Tongma Clearing", Other: "TONGMA", Account: Account{Other: "SETTLEMENT-1"}},
		Sender:     Party{Other: "TONGMA"}, Agent: Party{BIC: "CBKXCNBJXXX", Name: "Central Bank"},
		Parties: map[tongma.ParticipantID]Party{
			"alpha": {Name: "Alpha & Söhne", BIC: "ALPHCNBJ", Account: Account{IBAN: "GB82WEST12345698765432"}, Mandate: "MANDATE-A"},
			"beta":  {BIC: "BETACNBJXXX", Account: Account{Other: "0001-BETA"}},
			"gamma": {Name: "伽马", Other: "GAMMA", Scheme: "Tongma", Mandate: "MANDATE-G"},
			"delta": {Other: "DELTA"},
		},
	}
}

// market is the net sheet of window 12: three currencies, with and without
// decimals.
func market() clearing.Sheet {
	s := clearing.Sheet{Window: 12, State: clearing.WindowClosed, Opened: 100, Closed: 900, Matrix: []clearing.Obligation{
		{Debtor: "alpha", Creditor: "beta", Currency: tongma.CNY, Gross: 12_500_050, Count: 7},
		{Debtor: "gamma", Creditor: "beta", Currency: tongma.CNY, Gross: 99, Count: 1},
		{Debtor: "beta", Creditor: "delta", Currency: tongma.CNY, Gross: 5, Count: 1},
		{Debtor: "alpha", Creditor: "gamma", Currency: tongma.JPY, Gross: 1250, Count: 1},
		{Debtor: "beta", Creditor: "alpha", Currency: tongma.KWD, Gross: 1, Count: 1},
		{Debtor: "alpha", Creditor: "beta", Currency: tongma.KWD, Gross: 1, Count: 1},
	}}
	s.Nets, s.Totals = clearing.Net(s.Matrix)
	for i := range s.Hash {
		s.Hash[i] = byte(i * 7)
	}
	return s
}

// legs returns the instructions of one currency and direction.
func legs(s clearing.Sheet, c tongma.Currency, debit bool) (out []clearing.Instruction) {
	for _, in := range clearing.Instruct(s) {
		if in.Amount.Currency == c && in.Debit == debit {
			out = append(out, in)
		}
	}
	return out
}

func must(t *testing.T) func(Document, error) Document {
	return func(d Document, err error) Document {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func mustCreditTransfers(t *testing.T) Document {
	t.Helper()
	return must(t)(CreditTransfers(heading("MSG-1"), legs(market(), tongma.CNY, true)))
}

// documents is one message of each kind.
func documents(t *testing.T) map[string]Document {
	s, direct := market(), heading("MSG-DIRECT")
	direct.System = "" // the agent settles in its own books
	euro := tongma.Money{Minor: 100_000, Currency: tongma.EUR}
	statement := Statement{ID: "S-1", Created: at, Account: Account{Other: "SETTLEMENT-1"}, Currency: tongma.CNY,
		Opening: Balance{tongma.Money{Minor: -50, Currency: tongma.CNY}, Date{2026, 11, 23}}, Closing: Balance{tongma.Money{Minor: 12_500_094, Currency: tongma.CNY}, Date{2026, 11, 23}}}
	for _, in := range legs(s, tongma.CNY, true) {
		statement.Entries = append(statement.Entries, Entry{Reference: in.ID[:8], Amount: in.Amount, Credit: true, Booked: true, Status: "BOOK", BookingDate: Date{2026, 11, 23},
			ValueDate: Date{2026, 11, 24}, AgentRef: "AGENT-" + in.ID[:4], Details: []Detail{{EndToEnd: in.ID, UETR: UETR(in.ID), Amount: in.Amount, Credit: true}}})
	}
	statement.Entries = append(statement.Entries,
		Entry{Amount: tongma.Money{Minor: 5, Currency: tongma.CNY}, Booked: true, Status: "BOOK", Reversal: true},
		Entry{Amount: tongma.Money{Minor: 7, Currency: tongma.CNY}, Status: "PDNG"})
	m := must(t)
	return map[string]Document{
		"transfers-in":  mustCreditTransfers(t),
		"transfers-out": m(CreditTransfers(heading("MSG-2"), legs(s, tongma.CNY, false))),
		"transfer-yen":  m(CreditTransfers(direct, legs(s, tongma.JPY, true))),
		"debits":        m(DirectDebits(heading("MSG-3"), legs(s, tongma.CNY, true))),
		"sheet":         m(Settlement(heading(SheetKey(s, tongma.CNY)), s, tongma.CNY)),
		"sheet-yen":     m(Settlement(direct, s, tongma.JPY)),
		"liquidity":     m(LiquidityTransfer(heading("MSG-5"), Liquidity{"TOPUP-1", heading("").Parties["alpha"], heading("").Settlement, euro})),
		"statement":     m(StatementReport("MSG-6", at, []Statement{statement})),
		"advice":        m(AdviceReport("MSG-7", at, []Advice{{ID: "A-1", Account: statement.Account, Currency: tongma.CNY, Entries: statement.Entries[:1]}})),
		"status": m(StatusReport("MSG-8", at, Pacs009, []Status{{Original: "MSG-0", Whole: true, Code: "RJCT", Reason: "closed"},
			{Instruction: legs(s, tongma.CNY, true)[0].ID, Original: "MSG-1", Code: "ACSC", Settled: Date{2026, 11, 23}, AgentRef: "R-1"}})),
	}
}

func TestEveryMessageIsGoldenAndValidates(t *testing.T) {
	for name, d := range documents(t) {
		golden(t, name, d.XML)
		lint(t, d.Definition, d.XML)
		if !bytes.HasPrefix(d.XML, []byte(xml.Header+`<Document xmlns="`+d.Definition.Namespace()+`">`)) || bytes.Count(d.XML, []byte("xmlns")) != 1 {
			t.Errorf("%s: the root alone carries a namespace, as the default", name)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/golden/" + name + ".xml"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from %s; run with -update if that is meant:\n%s", name, file, got)
	}
}

func TestTheSameContentGivesTheSameBytes(t *testing.T) {
	first := documents(t)
	for range 5 {
		for name, d := range documents(t) {
			if !bytes.Equal(d.XML, first[name].XML) {
				t.Fatalf("%s changed from one time to the next", name)
			}
		}
	}
}

func TestWhatIsWrittenReadsBackIntoTheSameBytes(t *testing.T) {
	forms := map[Definition]func() any{
		Pacs009: func() any { return &xmlTransfers{} }, Pacs010: func() any { return &xmlDebits{} },
		Pacs029: func() any { return &xmlMultilateral{} }, Camt050: func() any { return &xmlLiquidity{} },
		Camt053: func() any { return &xmlStatements{} }, Camt054: func() any { return &xmlAdvices{} }, Pacs002: func() any { return &xmlStatusReport{} },
	}
	for name, d := range documents(t) {
		x := forms[d.Definition]()
		if err := xml.Unmarshal(d.XML, x); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := encode(d.Definition, "Document", x)
		if err != nil || !bytes.Equal(again, d.XML) {
			t.Errorf("%s: %v\n%s", name, err, again)
		}
	}
}

func TestTheHeaderCarriesTheKeyAndValidates(t *testing.T) {
	d := mustCreditTransfers(t)
	h := d.Header(heading("").Settlement, heading("").Agent)
	h.PossibleDuplicate = true
	head, err := h.XML()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "header", head)
	lint(t, Head001, head)
	if !bytes.Contains(head, []byte("<BizMsgIdr>MSG-1</BizMsgIdr>")) {
		t.Error("BizMsgIdr is not the id of the document")
	}
	whole, err := d.Envelope(h)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "envelope", whole)
	for _, part := range [][]byte{head, d.XML} {
		if !bytes.Contains(whole, bytes.TrimPrefix(part, []byte(xml.Header))) {
			t.Error("header and document do not stand in the envelope as they are")
		}
	}
}

func TestAnEnvelopeHoldsWhatItsHeaderNames(t *testing.T) {
	d := mustCreditTransfers(t)
	h := d.Header(heading("").Settlement, heading("").Agent)
	h.Definition = Pacs010
	_, err := d.Envelope(h)
	wantFault(t, err, FaultDefinition, "/AppHdr/MsgDefIdr")
	h.Definition, h.ID = Pacs009, "OTHER"
	_, err = d.Envelope(h)
	wantFault(t, err, FaultID, "/AppHdr/BizMsgIdr")
}

func TestAUETRIsAVersion4UUIDAndBelongsToItsInstruction(t *testing.T) {
	seen := map[string]bool{}
	for i := range 2000 {
		id := strings.Repeat("x", i%35) + string(rune('a'+i%26))
		u := UETR(id)
		if !validUETR(u) || u != UETR(id) {
			t.Fatalf("%q", u)
		}
		seen[id] = true
	}
	if UETR("a") == UETR("b") || UETR("a") != "bdc5e396-f2a4-40cf-b0a3-fbb10832e177" {
		t.Error("the derivation changed: what was sent before would be sent with another reference:", UETR("a"))
	}
}

func wantFault(t *testing.T, err error, f Fault, path string) {
	t.Helper()
	var e *tongma.Error
	if !errors.Is(err, f) || !errors.As(err, &e) {
		t.Errorf("got %v, want %q", err, f)
		return
	}
	if e.Field != path {
		t.Errorf("%v: path %q, want %q", err, e.Field, path)
	}
	if e.Reason == tongma.NoReason || e.Reason == tongma.Internal {
		t.Errorf("%v has no reason", err)
	}
}

func TestNothingIsBuiltThatBreaksARule(t *testing.T) {
	const leg = "/Document/FICdtTrf/CdtTrfTxInf"
	type inputs struct {
		h   Heading
		ins []clearing.Instruction
	}
	for _, c := range []struct {
		name  string
		spoil func(*inputs)
		fault Fault
		path  string
	}{
		{"message id too long", func(x *inputs) { x.h.ID = strings.Repeat("9", 36) }, FaultID, "/Document/FICdtTrf/GrpHdr/MsgId"},
		{"message id empty", func(x *inputs) { x.h.ID = "" }, FaultID, "/Document/FICdtTrf/GrpHdr/MsgId"},
		{"no time", func(x *inputs) { x.h.Created = time.Time{} }, FaultDate, "/Document/FICdtTrf/GrpHdr/CreDtTm"},
		{"no date", func(x *inputs) { x.h.Date = Date{} }, FaultDate, "/Document/FICdtTrf/GrpHdr/IntrBkSttlmDt"},
		{"30 February", func(x *inputs) { x.h.Date = Date{2026, 2, 30} }, FaultDate, "/Document/FICdtTrf/GrpHdr/IntrBkSttlmDt"},
		{"instruction id of other characters", func(x *inputs) { x.ins[1].ID = "net_1" }, FaultID, leg + "[2]/PmtId/EndToEndId"},
		{"instruction id with two slashes", func(x *inputs) { x.ins[0].ID = "a//b" }, FaultID, leg + "[1]/PmtId/EndToEndId"},
		{"an instruction twice", func(x *inputs) { x.ins[1] = x.ins[0] }, FaultDuplicate, leg + "[2]/PmtId/EndToEndId"},
		{"nothing", func(x *inputs) { x.ins = nil }, FaultNothing, leg},
		{"too many", func(x *inputs) { x.ins = make([]clearing.Instruction, MaxLegs+1) }, FaultTooMany, leg},
		{"zero", func(x *inputs) { x.ins[0].Amount.Minor = 0 }, FaultAmount, leg + "[1]/IntrBkSttlmAmt"},
		{"less than zero", func(x *inputs) { x.ins[1].Amount.Minor = -1 }, FaultAmount, leg + "[2]/IntrBkSttlmAmt"},
		{"19 digits", func(x *inputs) { x.ins[0].Amount.Minor = maxMinor + 1 }, FaultAmount, leg + "[1]/IntrBkSttlmAmt"},
		{"sum of 19 digits", func(x *inputs) { x.ins[0].Amount.Minor, x.ins[1].Amount.Minor = maxMinor, 1 }, FaultAmount, leg + "[2]/IntrBkSttlmAmt"},
		{"two currencies", func(x *inputs) { x.ins[1].Amount.Currency = tongma.JPY }, FaultMixedCurrency, leg + "[2]/IntrBkSttlmAmt/@Ccy"},
		{"no currency", func(x *inputs) { x.ins[0].Amount.Currency, x.ins[1].Amount.Currency = 1, 1 }, FaultCurrency, "/Document/FICdtTrf/GrpHdr/TtlIntrBkSttlmAmt/@Ccy"},
		{"debit and credit", func(x *inputs) { x.ins[1].Debit = false }, FaultDirection, leg + "[2]"},
		{"two sheets", func(x *inputs) { x.ins[1].Sheet[3]++ }, FaultMixedSheet, leg + "[2]"},
		{"two windows", func(x *inputs) { x.ins[1].Window++ }, FaultMixedSheet, leg + "[2]"},
		{"no window", func(x *inputs) { x.ins[0].Window = 0 }, FaultMixedSheet, leg + "[1]"},
		{"no sheet", func(x *inputs) { x.ins[0].Sheet = [32]byte{} }, FaultMixedSheet, leg + "[1]"},
		{"a stranger", func(x *inputs) { x.ins[1].Debtor = "omega" }, FaultParty, leg + "[2]/Dbtr"},
		{"a name alone", func(x *inputs) { x.h.Parties["gamma"] = Party{Name: "Gamma"} }, FaultParty, leg + "[2]/Dbtr"},
		{"a BIC in small letters", func(x *inputs) { x.h.Parties["gamma"] = Party{BIC: "gammcnbj"} }, FaultParty, leg + "[2]/Dbtr/BIC"},
		{"a BIC of nine", func(x *inputs) { x.h.Parties["gamma"] = Party{BIC: "GAMMCNBJX"} }, FaultParty, leg + "[2]/Dbtr/BIC"},
		{"an IBAN mistyped", func(x *inputs) {
			x.h.Parties["gamma"] = Party{Other: "G", Account: Account{IBAN: "GB82WEST12345698765423"}}
		}, FaultAccount, leg + "[2]/DbtrAcct/Id/IBAN"},
		{"two account ids", func(x *inputs) {
			x.h.Parties["gamma"] = Party{Other: "G", Account: Account{IBAN: "GB82WEST12345698765432", Other: "1"}}
		}, FaultAccount, leg + "[2]/DbtrAcct"},
		{"a name with a line end", func(x *inputs) { x.h.Parties["gamma"] = Party{Other: "G", Name: "Ga\nmma"} }, FaultText, leg + "[2]/Dbtr/Nm"},
		{"a name that turns the text around", func(x *inputs) { x.h.Parties["gamma"] = Party{Other: "G", Name: "Ga\u202emma"} }, FaultText, leg + "[2]/Dbtr/Nm"},
		{"a name too long", func(x *inputs) { x.h.Parties["gamma"] = Party{Other: "G", Name: strings.Repeat("马", 141)} }, FaultText, leg + "[2]/Dbtr/Nm"},
		{"a scheme of no id", func(x *inputs) { x.h.Parties["gamma"] = Party{BIC: "GAMMCNBJ", Scheme: "S"} }, FaultParty, leg + "[2]/Dbtr/Othr/SchmeNm"},
		{"two systems", func(x *inputs) { x.h.SystemCode = "TGT" }, FaultText, "/Document/FICdtTrf/GrpHdr/SttlmInf/ClrSys"},
	} {
		x := inputs{heading("MSG-1"), legs(market(), tongma.CNY, true)}
		c.spoil(&x)
		d, err := CreditTransfers(x.h, x.ins)
		if d.XML != nil {
			t.Errorf("%s: built all the same", c.name)
		}
		t.Run(c.name, func(t *testing.T) { wantFault(t, err, c.fault, c.path) })
	}
}

func TestADirectDebitNeedsAMandateAndADebtor(t *testing.T) {
	h, s := heading("MSG-1"), market()
	h.Parties["gamma"] = Party{Other: "GAMMA"}
	_, err := DirectDebits(h, legs(s, tongma.CNY, true))
	wantFault(t, err, FaultMandate, "/Document/FIDrctDbt/CdtInstr/DrctDbtTxInf[2]/Dbtr")
	_, err = DirectDebits(heading("MSG-1"), legs(s, tongma.CNY, false))
	wantFault(t, err, FaultDirection, "/Document/FIDrctDbt/CdtInstr/DrctDbtTxInf[1]")
}

func TestASheetThatDoesNotSumToZeroIsNotInstructed(t *testing.T) {
	s := market()
	s.Nets[0].Net++
	_, err := Settlement(heading("MSG-1"), s, tongma.CNY)
	wantFault(t, err, FaultNotZero, "/Document/MulSttlmReq/SttlmReq/MvmntRcrd")
	if tongma.ReasonOf(err) != tongma.SheetMismatch {
		t.Error(err)
	}
	s = market()
	s.Nets = append(s.Nets, clearing.NetFigure{Participant: "alpha", Currency: tongma.CNY, Net: 1}, clearing.NetFigure{Participant: "alpha", Currency: tongma.CNY, Net: -1})
	_, err = Settlement(heading("MSG-1"), s, tongma.CNY)
	wantFault(t, err, FaultDuplicate, "/Document/MulSttlmReq/SttlmReq/MvmntRcrd[3]/Ptcpt")
}

func TestAnOpenWindowIsNotInstructed(t *testing.T) {
	s := market()
	s.State = clearing.WindowOpen
	_, err := Settlement(heading("MSG-1"), s, tongma.CNY)
	wantFault(t, err, FaultOpen, "/Document/MulSttlmReq/SttlmReq")
	s = market()
	s.Hash = [32]byte{}
	_, err = Settlement(heading("MSG-1"), s, tongma.CNY)
	wantFault(t, err, FaultMixedSheet, "/Document/MulSttlmReq/SttlmReq")
}

func TestACurrencyInWhichAllIsEvenNeedsNoMessage(t *testing.T) {
	for _, c := range []tongma.Currency{tongma.KWD, tongma.EUR} {
		_, err := Settlement(heading("MSG-1"), market(), c)
		wantFault(t, err, FaultNothing, "/Document/MulSttlmReq/SttlmReq/MvmntRcrd")
	}
}

func TestLiquidityNeedsAnIDAndTwoParties(t *testing.T) {
	const path = "/Document/LqdtyCdtTrf/LqdtyCdtTrf"
	good := Liquidity{"T-1", Party{Other: "A"}, Party{Other: "B"}, tongma.Money{Minor: 1, Currency: tongma.CNY}}
	_, err := LiquidityTransfer(heading("MSG-1"), Liquidity{"T-1", good.From, good.To, tongma.Money{Minor: maxMinor + 1, Currency: tongma.CNY}})
	wantFault(t, err, FaultAmount, path+"/TrfdAmt/AmtWthCcy")
	for spoiled, want := range map[string]struct {
		Liquidity
		Fault
	}{
		path + "/LqdtyTrfId/EndToEndId": {Liquidity{"", good.From, good.To, good.Amount}, FaultID},
		path + "/Dbtr":                  {Liquidity{"T-1", Party{}, good.To, good.Amount}, FaultParty},
		path + "/TrfdAmt/AmtWthCcy":     {Liquidity{"T-1", good.From, good.To, tongma.Money{Currency: tongma.CNY}}, FaultAmount},
	} {
		_, err := LiquidityTransfer(heading("MSG-1"), want.Liquidity)
		wantFault(t, err, want.Fault, spoiled)
	}
}

func TestErrorsNameNoAccount(t *testing.T) {
	h := heading("MSG-1")
	h.Parties["gamma"] = Party{Other: "G", Account: Account{IBAN: "GB82WEST12345698765423"}}
	if _, err := CreditTransfers(h, legs(market(), tongma.CNY, true)); err == nil || strings.Contains(err.Error(), "12345698765423") {
		t.Error(err)
	}
}

func TestTheSheetKeyFitsAndTellsTheCurrencies(t *testing.T) {
	s := market()
	a, b := SheetKey(s, tongma.CNY), SheetKey(s, tongma.JPY)
	if !validID(a) || !validID(b) || a == b || len(a) != maxID {
		t.Error(a, b)
	}
}

func TestAMessageKeyBelongsToItsInstructionsAndItsKind(t *testing.T) {
	s := market()
	in, out := legs(s, tongma.CNY, true), legs(s, tongma.CNY, false)
	keys := map[string]bool{}
	for _, k := range []string{MessageKey(Pacs009, in), MessageKey(Pacs009, out), MessageKey(Pacs010, in), MessageKey(Pacs009, in[:1]), MessageKey(Pacs009, nil)} {
		if keys[k] || !validID(k) {
			t.Errorf("%q", k)
		}
		keys[k] = true
	}
	if MessageKey(Pacs009, in) != MessageKey(Pacs009, legs(market(), tongma.CNY, true)) {
		t.Error("the key changed from one time to the next")
	}
}
