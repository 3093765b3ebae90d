package schemes

import (
	"strings"
	"testing"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
)

// sandboxed returns version 1: the sandbox with pieces of its text exchanged, in
// pairs of old and new. Each old piece must be there.
func sandboxed(t testing.TB, pairs ...string) *Directory {
	t.Helper()
	text := string(Sandbox())
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the sandbox does not hold %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	d, err := Parse(1, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decoded(t testing.TB, d *Directory, raw string) codespec.Code {
	t.Helper()
	c, err := d.Rules().Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSandboxIsValid(t *testing.T) {
	d := sandboxed(t)
	if len(d.Participants()) != 8 {
		t.Error("not eight participants")
	}
	c := decoded(t, d, "134621141753364349")
	if r := d.Resolve(c, Query{Asker: "acq-north", Op: tongma.OpPay, Amount: tongma.Money{Minor: 100, Currency: tongma.CNY}, Country: "CN"}); len(r.Candidates) != 1 {
		t.Error(r)
	}
}
