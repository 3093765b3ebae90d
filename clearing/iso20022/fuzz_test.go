package iso20022

import (
	"encoding/xml"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// FuzzRead feeds whole messages of every kind. What is read must be true to its
// own rules; what is refused must say why.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"samples/camt.053.001.08.xml", "samples/pacs.009.001.08.xml", "golden/statement.xml", "golden/advice.xml", "golden/status.xml", "golden/envelope.xml"} {
		f.Add(file(f, name))
	}
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) { readAny(t, data) })
}

// The other fuzzers take a good message and change it in two places, so that most
// inputs get past the well-formedness that random bytes fail at. Small inputs are
// also what keeps the fuzzer from spending its time on making them smaller.
func FuzzStatement(f *testing.F) { fuzzEdits(f, sample, string(file(f, "golden/statement.xml"))) }

func FuzzAdvice(f *testing.F) { fuzzEdits(f, string(file(f, "golden/advice.xml"))) }

func FuzzStatus(f *testing.F) {
	fuzzEdits(f, strings.Replace(report, "%", "ACSC", 1), string(file(f, "golden/status.xml")))
}

func FuzzReceipt(f *testing.F) { fuzzEdits(f, receipt) }

func FuzzHeader(f *testing.F) {
	h := Header{From: Party{BIC: "CBKXCNBJ", Name: "Central Bank"}, To: Party{Other: "TONGMA", Scheme: "Agent"}, ID: "H-1", Definition: receipts + "05", Created: at}
	head, err := h.XML()
	if err != nil {
		f.Fatal(err)
	}
	fuzzEdits(f, "<E>"+strings.TrimPrefix(string(head), xml.Header)+receipt+"</E>")
}

func fuzzEdits(f *testing.F, messages ...string) {
	for i, put := range []string{"", "x", "<a/>", "<!---->", "0", "9999999999999999", "USD", "DBIT", "</Ntry>", "&amp;", " ", "马"} {
		f.Add(uint8(i), uint16(100+i*37), uint8(i), put, uint16(400+i*53), uint8(0), "")
	}
	edit := func(s string, at uint16, cut uint8, put string) string {
		from := int(at) % (len(s) + 1)
		return s[:from] + put + s[min(from+int(cut), len(s)):]
	}
	f.Fuzz(func(t *testing.T, which uint8, at1 uint16, cut1 uint8, put1 string, at2 uint16, cut2 uint8, put2 string) {
		s := messages[int(which)%len(messages)]
		readAny(t, []byte(edit(edit(s, at1, cut1, put1), at2, cut2, put2)))
	})
}

func readAny(t *testing.T, data []byte) {
	m, err := Read(data)
	if err != nil {
		var e *tongma.Error
		if m != nil || !errors.As(err, &e) || ReadFault(err) == "" || e.Reason == tongma.Internal || len(err.Error()) > 2000 {
			t.Fatalf("refused without a reason: %v", err)
		}
		return
	}
	for _, s := range m.Statements {
		sum := s.Opening.Amount
		for _, e := range s.Entries {
			if !s.Currency.Valid() || e.Amount.Currency != s.Currency || e.Amount.Minor < 0 || (e.Booked && e.Status != "BOOK") {
				t.Fatalf("%+v", e)
			}
			if e.Booked {
				sum, _ = sum.Add(e.Signed())
			}
		}
		if sum != s.Closing.Amount {
			t.Fatalf("%+v does not add up", s)
		}
	}
	for _, s := range m.Statuses {
		if (s.Outcome == tongma.Approved && s.Code != "ACSC" && s.Code != "ACCC") || (!s.Whole && s.Instruction == "" && s.UETR == "") {
			t.Fatalf("%+v", s)
		}
	}
	writtenAgain(t, m)
}

// writtenAgain writes what was read, where we have the words for all of it, and
// reads it once more.
func writtenAgain(t *testing.T, m *Message) {
	if m.Definition != Camt053 || !validID(m.ID) {
		return
	}
	for i := range m.Statements {
		for j := range m.Statements[i].Entries {
			if e := m.Statements[i].Entries[j]; len(e.Status) > 4 || e.Booked != (e.Status == "BOOK") {
				return // the agent's own word, which is not written
			}
		}
	}
	d, err := StatementReport(m.ID, m.Created, m.Statements)
	if err != nil {
		return // such as an account id of other characters than we send
	}
	again, err := Read(d.XML)
	if err != nil || len(again.Statements) != len(m.Statements) {
		t.Fatal(err)
	}
	for i := range m.Statements {
		a, b := m.Statements[i], again.Statements[i]
		a.Created, b.Created = at, at // written in whole seconds
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\n%+v", a, b)
		}
	}
}
