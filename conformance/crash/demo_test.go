package crash_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma/conformance/crash"
)

// TestKilledDemoAuditsClean kills a demonstration in the middle of its payments:
// its folder must audit clean as it lies there, and a second demonstration on it
// must finish what the first left open, and balance.
func TestKilledDemoAuditsClean(t *testing.T) {
	seed := crash.Environment("TONGMA_SEED", uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	ports := crash.FreePorts(t, 3)
	listen := []string{"--data", data, "--iso8583-listen", ports[0], "--http-listen", ports[1], "--nats-listen", ports[2]}
	args := append([]string{"demo", "--once", "--payments", "100000", "--json"}, listen...)
	if !testing.Short() { // payers who were confirming then are waited for up to a minute, since their wallets are gone
		args = append(args, "--chaos")
	}
	p := crash.Start(t, args...)
	waitForFile(t, p, filepath.Join(data, "node.json"))
	time.Sleep(time.Second + time.Duration(rng.IntN(1500))*time.Millisecond)
	p.Kill()
	if p.Stdout.String() != "" {
		t.Fatal("the demonstration had ended before it was killed")
	}
	a := crash.Audited(t, "--data", data)
	t.Logf("killed with %d entries: %+v", a.Entries, a.Payments)
	if a.Payments.Posted == 0 {
		t.Error("nothing was posted before the kill: this proves little")
	}
	stdout, stderr, code := crash.Run(t, append([]string{"demo", "--once", "--payments", "200", "--json"}, listen...)...)
	var report struct {
		Audit, Wallets    string
		Payments, Unknown int
		Windows           int
		NetSum            map[string]string `json:"net_sum"`
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("second demonstration: exit %d: %v\n%s%s", code, err, stdout, stderr)
	}
	if code != 0 || report.Audit != "ok" || report.Wallets != "agree" || report.Unknown != 0 || report.Windows < 1 {
		t.Errorf("second demonstration: exit %d\n%s%s", code, stdout, stderr)
	}
	for c, sum := range report.NetSum {
		if strings.Trim(sum, "0.") != "" {
			t.Errorf("net positions of %s add up to %s", c, sum)
		}
	}
	after := crash.Audited(t, "--data", data)
	if after.Payments.Posted < a.Payments.Posted || after.Open != 0 {
		t.Errorf("before the second run %+v, after it %+v with %d open", a.Payments, after.Payments, after.Open)
	}
}

func waitForFile(t *testing.T, p *crash.Process, name string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(name); err == nil {
			return
		}
		select {
		case <-p.Ended:
			t.Fatalf("ended before it served:\n%s", p.Stderr.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not there after 30 s:\n%s", name, p.Stderr.String())
		}
	}
}
