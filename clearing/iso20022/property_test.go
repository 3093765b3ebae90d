package iso20022

import (
	"encoding/xml"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"pgregory.net/rapid"
)

var currencies = []tongma.Currency{tongma.CNY, tongma.JPY, tongma.KWD, tongma.EUR, 990}

// drawSheet is any net sheet that clearing.Net gives.
func drawSheet(t *rapid.T) (clearing.Sheet, Heading) {
	h := heading("KEY-1")
	n := rapid.IntRange(2, 12).Draw(t, "participants")
	names := make([]tongma.ParticipantID, n)
	h.Parties = map[tongma.ParticipantID]Party{}
	for i := range names {
		names[i] = tongma.ParticipantID(fmt.Sprintf("p%d", i))
		h.Parties[names[i]] = Party{Name: rapid.StringMatching(`[A-Za-zäé马<>&"'] ?[A-Za-z<>&"']{1,20}`).Draw(t, "name"), Other: fmt.Sprintf("P-%d", i), Mandate: "M-1"}
	}
	s := clearing.Sheet{State: clearing.WindowClosed, Window: tongma.WindowID(rapid.Uint64Range(1, 1<<40).Draw(t, "window"))}
	for range rapid.IntRange(0, 30).Draw(t, "obligations") {
		s.Matrix = append(s.Matrix, clearing.Obligation{Debtor: rapid.SampledFrom(names).Draw(t, "debtor"), Creditor: rapid.SampledFrom(names).Draw(t, "creditor"),
			Currency: rapid.SampledFrom(currencies).Draw(t, "currency"), Gross: rapid.Int64Range(1, tongma.MaxMinor*1000).Draw(t, "gross"), Count: 1})
	}
	s.Nets, s.Totals = clearing.Net(s.Matrix)
	copy(s.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	s.Hash[31] = 1
	return s, h
}

// signed adds up the amounts of a message as its reader would.
func signed(t *rapid.T, value, code string, credit bool) int64 {
	c, ok := tongma.CurrencyByCode(code)
	m, err := tongma.ParseMoney(value, c)
	if !ok || err != nil || m.Minor <= 0 {
		t.Fatalf("%s %s: %v", value, code, err)
	}
	if credit {
		return m.Minor
	}
	return -m.Minor
}

func TestAnySheetGivesMessagesThatSumToZeroAndValidate(t *testing.T) {
	messages := map[Definition][][]byte{}
	rapid.Check(t, func(t *rapid.T) {
		s, h := drawSheet(t)
		for _, total := range s.Totals {
			c := total.Currency
			in, out := legs(s, c, true), legs(s, c, false)
			d, err := Settlement(h, s, c)
			if total.ToMove == 0 {
				if ReadFault(err) != FaultNothing {
					t.Fatal(err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			messages[Pacs029] = append(messages[Pacs029], d.XML)
			checkSettlement(t, d, total, len(in)+len(out))

			var moved [2]int64
			for i, ins := range [][]clearing.Instruction{in, out} {
				d, err := CreditTransfers(h, ins)
				if err != nil {
					t.Fatal(err)
				}
				messages[Pacs009] = append(messages[Pacs009], d.XML)
				var x xmlTransfers
				if err := xml.Unmarshal(d.XML, &x); err != nil || len(x.Legs) != len(ins) {
					t.Fatal(err)
				}
				for _, l := range x.Legs {
					moved[i] += signed(t, l.Amount.Value, l.Amount.Currency, true)
				}
				if sum := signed(t, x.Total.Value, x.Total.Currency, true); sum != moved[i] {
					t.Fatalf("the total says %d, the legs %d", sum, moved[i])
				}
			}
			if moved[0] != moved[1] || moved[0] != total.ToMove {
				t.Fatalf("collected %d, paid %d, to move %d", moved[0], moved[1], total.ToMove)
			}
			debits, err := DirectDebits(h, in)
			if err != nil {
				t.Fatal(err)
			}
			messages[Pacs010] = append(messages[Pacs010], debits.XML)
		}
	})
	for def, all := range messages {
		t.Logf("%d messages %s", len(all), def)
		lint(t, def, all...)
	}
}

func checkSettlement(t *rapid.T, d Document, total clearing.Total, count int) {
	var x xmlMultilateral
	if err := xml.Unmarshal(d.XML, &x); err != nil {
		t.Fatal(err)
	}
	sum, ids := int64(0), map[string]bool{}
	for _, l := range x.Legs {
		sum += signed(t, l.Amount.Value, l.Amount.Currency, l.Direction == "CRDT")
		ids[l.ID] = true
	}
	if sum != 0 || len(ids) != count || x.Count != count {
		t.Fatalf("sum %d, %d legs of %d", sum, len(ids), count)
	}
	if control := signed(t, x.Sum, total.Currency.Code(), true); control != 2*total.ToMove {
		t.Fatalf("control sum %d, to move %d", control, total.ToMove)
	}
}

func drawID(t *rapid.T, name string) string {
	return rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9?:().,'+-]{0,33}`).Draw(t, name)
}

func drawDate(t *rapid.T, name string) Date {
	return DateOf(time.Date(2026, 1, rapid.IntRange(1, 365).Draw(t, name), 0, 0, 0, 0, time.UTC))
}

func TestAnyStatementReadsBackAsItWasWritten(t *testing.T) {
	var statements, advices [][]byte
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(currencies).Draw(t, "currency")
		money := func(name string, low int64) tongma.Money {
			return tongma.Money{Minor: rapid.Int64Range(low, tongma.MaxMinor).Draw(t, name), Currency: c}
		}
		s := Statement{ID: drawID(t, "id"), Created: at, Account: Account{Other: drawID(t, "account")}, Currency: c,
			Opening: Balance{money("opening", -tongma.MaxMinor), drawDate(t, "opened")}}
		s.Closing = Balance{s.Opening.Amount, drawDate(t, "closed")}
		for i := range rapid.IntRange(0, 8).Draw(t, "entries") {
			e := Entry{Reference: fmt.Sprintf("E-%d", i), Amount: money("amount", 0), Credit: rapid.Bool().Draw(t, "credit"), Reversal: rapid.Bool().Draw(t, "reversal"),
				Status: rapid.SampledFrom([]string{"BOOK", "PDNG", "INFO"}).Draw(t, "status"), BookingDate: drawDate(t, "booked"), AgentRef: drawID(t, "agent")}
			e.Booked = e.Status == "BOOK"
			for range rapid.IntRange(0, 3).Draw(t, "details") {
				id := drawID(t, "instruction")
				e.Details = append(e.Details, Detail{EndToEnd: id, UETR: UETR(id), Amount: money("part", 0), Credit: rapid.Bool().Draw(t, "part credit")})
			}
			if e.Booked {
				s.Closing.Amount.Minor += e.Signed().Minor
			}
			s.Entries = append(s.Entries, e)
		}
		d, err := StatementReport(drawID(t, "message"), at, []Statement{s})
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(d.XML)
		if err != nil || !reflect.DeepEqual(m.Statements, []Statement{s}) {
			t.Fatalf("%v\n%+v\n%+v", err, m, s)
		}
		a := Advice{ID: s.ID, Account: s.Account, Currency: c, Entries: s.Entries}
		advice, err := AdviceReport(d.ID, at, []Advice{a})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Read(advice.XML); err != nil || !reflect.DeepEqual(m.Advices, []Advice{a}) {
			t.Fatalf("%v\n%+v\n%+v", err, m, a)
		}
		statements, advices = append(statements, d.XML), append(advices, advice.XML)

		s.Closing.Amount.Minor++
		if _, err := StatementReport(d.ID, at, []Statement{s}); ReadFault(err) != FaultBalance {
			t.Fatal(err)
		}
	})
	lint(t, Camt053, statements...)
	lint(t, Camt054, advices...)
}

// TestIdentifiersThatPassFitTheirTypes holds the checks of identifiers against the
// patterns of the schemas, by strings near the border.
func TestIdentifiersThatPassFitTheirTypes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "any")
		if validID(s) && (len(s) > 35 || strings.TrimSpace(s) != s || strings.ContainsAny(s, "_<>&\"\n")) {
			t.Fatalf("%q is an id", s)
		}
		if bic := rapid.StringMatching(`[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?`).Draw(t, "bic"); !validBIC(bic) {
			t.Fatalf("%q is no BIC", bic)
		}
		u := rapid.StringMatching(`[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}`).Draw(t, "uetr")
		if !validUETR(u) || validUETR(strings.ToUpper("A"+u[1:])) {
			t.Fatalf("%q is no UETR", u)
		}
	})
}
