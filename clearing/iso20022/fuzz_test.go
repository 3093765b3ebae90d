package iso20022

import (
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

// FuzzStatement, FuzzAdvice, FuzzStatus and FuzzReceipt put what they are given
// inside the right root, so that every input gets past it.
func FuzzStatement(f *testing.F) {
	f.Add(inside(sample))
	f.Add(inside(string(file(f, "golden/statement.xml"))))
	f.Fuzz(func(t *testing.T, body string) { readAny(t, document(Camt053, body)) })
}

func FuzzAdvice(f *testing.F) {
	f.Add(inside(string(file(f, "golden/advice.xml"))))
	f.Fuzz(func(t *testing.T, body string) { readAny(t, document(Camt054, body)) })
}

func FuzzStatus(f *testing.F) {
	f.Add(inside(report))
	f.Add(inside(string(file(f, "golden/status.xml"))))
	f.Fuzz(func(t *testing.T, body string) { readAny(t, document(Pacs002, body)) })
}

func FuzzReceipt(f *testing.F) {
	f.Add(`<Rct><MsgHdr><MsgId>RC-1</MsgId></MsgHdr><RctDtls><OrgnlMsgId><MsgId>MSG-5</MsgId></OrgnlMsgId><ReqHdlg><StsCd>RJCT</StsCd><Desc>no cover</Desc></ReqHdlg></RctDtls></Rct>`)
	f.Fuzz(func(t *testing.T, body string) { readAny(t, document(receipts+"05", body)) })
}

func FuzzHeader(f *testing.F) {
	head := string(file(f, "golden/header.xml"))
	f.Add(strings.Replace(inside(head), string(Pacs009), string(Camt053), 1))
	f.Fuzz(func(t *testing.T, body string) {
		readAny(t, []byte(`<E><AppHdr xmlns="`+Head001.Namespace()+`">`+body+`</AppHdr>`+strings.TrimPrefix(sample, `<?xml version="1.0" encoding="UTF-8"?>`)+`</E>`))
	})
}

func document(def Definition, body string) []byte {
	return []byte(`<Document xmlns="` + def.Namespace() + `">` + body + `</Document>`)
}

// inside is what stands in the root element of a message.
func inside(message string) string {
	from := strings.Index(message, `">`) + len(`">`)
	return message[from:strings.LastIndex(message, "</")]
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
			if !s.Currency.Valid() || e.Amount.Currency != s.Currency || e.Amount.Minor < 0 || e.Booked != (e.Status == "BOOK") {
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
			if len(m.Statements[i].Entries[j].Status) > 4 {
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
