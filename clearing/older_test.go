package clearing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"

	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/clearing/scripttest"
)

// TestAnOlderJournalKeepsItsMeaning: testdata/journal-1 was written before there
// were fees, captures in part, expiries, approved caps and prefunding. It is never
// written anew: its bytes are read as they are, give the same lines, the same
// audit, and a Book that agrees with it.
func TestAnOlderJournalKeepsItsMeaning(t *testing.T) {
	messages, err := os.ReadFile("testdata/journal-1.base64")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/journal-1.json")
	if err != nil {
		t.Fatal(err)
	}
	store := journal.NewMemory()
	for _, line := range bytes.Fields(messages) {
		message, err := base64.StdEncoding.AppendDecode(nil, line)
		if err != nil {
			t.Fatal(err)
		}
		store.Put(message)
	}
	report, err := Audit(t.Context(), store, AuditOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.MarshalIndent(report, "", " ")
	got = append(got, '\n')
	book := NewBook()
	_, err = journal.Open(t.Context(), store, 0, func(b journal.Batch) error {
		for _, data := range b.Entries {
			e, err := ParseEntry(data)
			if err != nil {
				return err
			}
			if again := e.AppendTo(nil); !bytes.Equal(again, data) {
				t.Errorf("entry %d: %x is written anew as %x", e.Number, data, again)
			}
			line, _ := json.Marshal(NewLine(&e, 0, data))
			got = append(append(got, line...), '\n')
		}
		return book.Replay(b, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	scripttest.Same(t, "testdata/journal-1.json", string(got), string(want))
	sameAsAudit(t, report, book)
}
