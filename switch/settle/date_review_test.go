package settle

import (
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// TestNothingIsSentWithADateThatHasPassed: what is tried again days later settles on the
// first good day from then on, where its schedule lives.
func TestNothingIsSentWithADateThatHasPassed(t *testing.T) {
	dir := timetableUntil(t, "2000-12-31")
	for _, c := range []struct {
		model string
		value uint32
		now   string
		want  string
	}{
		{"home", 20000105, "2000-01-05T15:59:00Z", "2000-01-05"}, // 23:59 in Shanghai
		{"home", 20000105, "2000-01-05T16:00:00Z", "2000-01-06"},
		{"home", 20000106, "2000-01-05T16:00:00Z", "2000-01-06"},
		{"home", 20000107, "2000-01-08T04:00:00Z", "2000-01-10"}, // a Saturday
		{"home", 20000103, "2000-01-03T16:00:00Z", "2000-01-05"}, // the 4th is a holiday
		{"home", 20001229, "2001-06-01T00:00:00Z", "2001-06-01"}, // no calendar knows
		{"", 20000105, "2000-01-07T23:00:00Z", "2000-01-07"},
		{"", 0, "2000-01-07T23:00:00Z", "2000-01-07"},
		{"", 0, "2000-01-07T19:00:00-05:00", "2000-01-08"}, // whatever the zone of this machine
		{"home", 0, "2000-01-07T16:00:00Z", "2000-01-08"},  // the day where it settles
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		client := NewClient(ClientOptions{Agent: "bank", Directory: func() *schemes.Directory { return dir }, Now: func() time.Time { return now }})
		in := clearing.Instruction{ID: "0123456789abcdef0123456789abcdef", Window: 1, Debtor: "bank-a", Participant: "bank-a", Debit: true, Amount: tongma.Money{Minor: 5, Currency: tongma.CNY}, Sheet: [32]byte{1}}
		doc, _, err := client.message(Transfer{Instruction: in, Model: c.model, ValueDate: c.value})
		if err != nil || !strings.Contains(string(doc.XML), "<IntrBkSttlmDt>"+c.want+"</IntrBkSttlmDt>") {
			t.Errorf("%+v: %v\n%s", c, err, doc.XML)
		}
	}
}
