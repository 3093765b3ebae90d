package office

import (
	"strings"
	"testing"

	"github.com/tongma/tongma/schemes"
)

// TestAStatementOfAnAccountThatWasGivenUpIsStillTaken: its last ones come behind the
// directory's change.
func TestAStatementOfAnAccountThatWasGivenUpIsStillTaken(t *testing.T) {
	withAgent := strings.Replace(marketYAML, "schemes:", `
agents:
  - id: river
    name: River Bank
    bic: RVBKTHBK
    currencies: [THB]
    switch: {name: Tongma, number: "4711", accounts: {THB: {account: SETTLE-THB}}}
schemes:`, 1)
	m := newCourt(t)
	was := schemes.NewMemoryRegistry(directory(t, withAgent))
	now, err := schemes.Parse(2, []byte(strings.ReplaceAll(withAgent, "SETTLE-THB", "SETTLE-NEW")))
	if err != nil {
		t.Fatal(err)
	}
	o := m.open("", now)
	if ours := o.settlementAccounts(); ours["SETTLE-THB"] || !ours["SETTLE-NEW"] {
		t.Fatal(ours)
	}
	o.Past = was
	if ours := o.settlementAccounts(); !ours["SETTLE-THB"] || !ours["SETTLE-NEW"] {
		t.Fatal(ours)
	}
}
