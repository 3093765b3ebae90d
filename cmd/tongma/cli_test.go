package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tongma": main})
}

// TestScripts runs testdata/script: what is typed, which stream answers, and with
// which exit code. Two more commands are known there:
//
//	exits CODE tongma ARG...   the exit code, with both streams kept
//	object KEY[=VALUE]...      stdout is one JSON object with these members
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			node := httptest.NewServer(&fakeNode{})
			env.Defer(node.Close)
			env.Setenv("NODE", node.URL)
			env.Setenv("HOME", env.WorkDir)
			return prepare(env.WorkDir, node.URL)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "object": object, "money": makeJournal, "cuttail": cutTail,
		},
	})
}

// prepare makes a data folder that says the fake node runs on it.
func prepare(dir, url string) error {
	creds := filepath.Join(dir, "run", "creds")
	if err := os.MkdirAll(creds, 0o700); err != nil {
		return err
	}
	for _, who := range []string{"operator", "acq-north", "tongbao"} {
		if err := os.WriteFile(filepath.Join(creds, who+".token"), []byte("tm_"+who+"\n"), 0o600); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(`{"http":%q,"nats":"nats://127.0.0.1:4222","iso8583":"127.0.0.1:8583"}`, url)
	return os.WriteFile(filepath.Join(dir, "run", "node.json"), []byte(text), 0o600)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func object(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: object STREAM KEY[=VALUE]...")
	}
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 {
		ts.Fatalf("%s is not one line: %q", args[0], text)
	}
	var v map[string]any
	ts.Check(json.Unmarshal([]byte(text), &v))
	for _, a := range args[1:] {
		path, want, exact := strings.Cut(a, "=")
		var at any = v
		for _, key := range strings.Split(path, ".") {
			switch node := at.(type) {
			case map[string]any:
				var ok bool
				if at, ok = node[key]; !ok {
					ts.Fatalf("no member %s in %s", path, text)
				}
			case []any:
				i, err := strconv.Atoi(key)
				if err != nil || i >= len(node) {
					ts.Fatalf("no element %s in %s", path, text)
				}
				at = node[i]
			default:
				ts.Fatalf("no member %s in %s", path, text)
			}
		}
		if got, ok := at.(string); exact && !ok || !ok {
			b, _ := json.Marshal(at)
			if exact && string(b) != want {
				ts.Fatalf("%s is %s, want %s", path, b, want)
			}
		} else if exact && got != want {
			ts.Fatalf("%s is %q, want %q", path, got, want)
		}
	}
}

// makeJournal writes a journal with one posted payment into a data folder, as a
// switch would that was stopped behind it.
func makeJournal(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "nats"), 0o700))
	store, stop, err := openStore(dir)
	ts.Check(err)
	defer stop()
	now := int64(1_790_000_000_000)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l, err := clearing.OpenLedger(ctx, store, clearing.LedgerOptions{Now: func() int64 { now += 1000; return now },
		Journal: []journal.Option{journal.WithCheckpoint(filepath.Join(dir, "checkpoint"), time.Millisecond)}})
	ts.Check(err)
	amount := tongma.Money{Minor: 1250, Currency: tongma.CNY}
	id := tongma.PaymentID{1, 2, 3}
	limit := tongma.Money{Minor: 100_000, Currency: tongma.CNY}
	for _, e := range []clearing.Entry{
		{Kind: clearing.KindCap, Debtor: "tongbao", Amount: limit},
		{Kind: clearing.KindCap, Debtor: "acq-north", Amount: limit},
		{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "acq-north", Key: "k1", Debtor: "tongbao", Creditor: "acq-north",
			Scheme: "tongbao", Amount: amount, Code: clearing.Digest{9}, CodeTail: "2368"},
		{Kind: clearing.KindPost, Payment: id, SchemeRef: "S1", Approval: "000001"},
	} {
		res, err := l.Submit(ctx, e)
		ts.Check(err)
		if res.Reason != tongma.NoReason {
			ts.Fatalf("%s: %s", e.Kind, res.Reason)
		}
	}
	ts.Check(l.Close())
}

// cutTail takes a checkpoint further than the journal goes: what is left when the
// journal's end was lost.
func cutTail(ts *testscript.TestScript, neg bool, args []string) {
	path := filepath.Join(ts.MkAbs(args[0]), "checkpoint")
	p, _, err := journal.ReadCheckpoint(path)
	ts.Check(err)
	p.Number, p.Sequence, p.Hash[0] = p.Number+5, p.Sequence+5, p.Hash[0]+1
	ts.Check(journal.WriteCheckpoint(path, p))
}

// fakeNode answers as a switch does, and by the order number: "pending" is
// decided when asked for, "hang up" closes the connection behind the request.
type fakeNode struct{}

const fakeID = "pay_01m82matjvf6ybtcmp6ct7mv07"

func (f *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer tm_")
	if !ok {
		fakeProblem(w, tongma.NotAuthenticated)
		return
	}
	body, _ := io.ReadAll(r.Body)
	key := r.Header.Get(tongma.HeaderKey)
	w.Header().Set("Content-Type", "application/json")
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/payments", "POST /v1/transfers", "POST /v1/payments/" + fakeID + "/refunds":
		f.move(w, body, key)
	case "POST /v1/payments/" + fakeID + "/reverse", "POST /v1/reversals":
		io.WriteString(w, `{"payment":"`+fakeID+`","outcome":"declined","status":"reversed","reason":"TM-2013","reason_name":"reversed-by-acquirer"}`)
	case "GET /v1/payments/" + fakeID:
		io.WriteString(w, `{"payment":"`+fakeID+`","outcome":"approved","status":"approved","amount":{"minor":1250,"currency":"CNY"}}`)
	case "GET /v1/payments":
		if r.URL.Query().Get("key") == "nobody" {
			io.WriteString(w, `{"payments":[]}`)
			return
		}
		fmt.Fprintf(w, `{"payments":[{"payment":"%s","operation":"pay","status":"approved","state":"approved","amount":"12.50","currency":"CNY","debtor":"tongbao","creditor":"acq-north","entry":7,"held_at":"2026-11-22T10:00:00.000Z","changed_at":"2026-11-22T10:00:00.000Z"}],"asked_by":"%s"}`, fakeID, who)
	case "POST /v1/resolve":
		f.resolve(w, body)
	case "GET /v1/positions":
		io.WriteString(w, `{"positions":[{"participant":"tongbao","currency":"CNY","position":"12.50","reserved":"0.00","cap":"1000.00","available":"987.50"}]}`)
	case "GET /v1/windows":
		io.WriteString(w, `{"windows":[`+fakeWindow+`]}`)
	case "POST /v1/windows/win_000001/settle":
		io.WriteString(w, strings.TrimSuffix(fakeWindow, "}")+`,"done":true,"events":[],"waits":[],"plan":[]}`)
	case "GET /v1/windows/win_000001":
		io.WriteString(w, fakeWindow)
	case "POST /v1/windows/close":
		if r.URL.Query().Get("window") == "win_000002" {
			fakeProblem(w, tongma.WindowNotOpen)
			return
		}
		io.WriteString(w, fakeWindow)
	case "GET /v1/journal":
		if r.URL.Query().Get("from") == "1" {
			io.WriteString(w, `{"lines":[{"entry":1,"kind":"open","time":"2026-11-22T10:00:00.000Z","batch":2,"hash":"00","window":1}],"next":2}`)
			return
		}
		io.WriteString(w, `{"lines":[],"next":2}`)
	default:
		fakeProblem(w, tongma.PaymentUnknown)
	}
}

const fakeWindow = `{"window":"win_000001","state":"closed","first_entry":1,"end_entry":9,"opened_at":"2026-11-22T10:00:00.000Z","closed_at":"2026-11-22T11:00:00.000Z","payments":1,` +
	`"gross":{"CNY":"12.50"},"to_move":{"CNY":"12.50"},"nets":[{"participant":"acq-north","currency":"CNY","debits":"0.00","credits":"12.50","net":"-12.50"}],` +
	`"matrix":[{"debtor":"tongbao","creditor":"acq-north","currency":"CNY","gross":"12.50","payments":1}],"sheet_hash":"00ff"}`

func (f *fakeNode) move(w http.ResponseWriter, body []byte, key string) {
	r, err := tongma.ParseRequest(body)
	switch {
	case err != nil:
		fakeProblem(w, tongma.ReasonOf(err))
	case key == "":
		fakeProblem(w, tongma.KeyMissing)
	case key == "other":
		fakeProblem(w, tongma.ExistsOtherAmount)
	case r.Order == "hangup":
		panic(http.ErrAbortHandler)
	case r.Order == "declined":
		io.WriteString(w, `{"payment":"`+fakeID+`","outcome":"declined","status":"declined","reason":"TM-2101","reason_name":"insufficient-funds","amount":{"minor":1250,"currency":"CNY"}}`)
	case r.Order == "pending":
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"payment":"`+fakeID+`","outcome":"unknown","status":"pending","reason":"TM-2010","reason_name":"payer-confirming","after_ms":1}`)
	default:
		if key == "again" {
			w.Header().Set(tongma.HeaderReplay, "true")
		}
		fmt.Fprintf(w, `{"payment":"%s","outcome":"approved","status":"approved","amount":{"minor":%d,"currency":"%s"}}`, fakeID, r.Amount.Minor, r.Amount.Currency.Code())
	}
}

func (f *fakeNode) resolve(w http.ResponseWriter, body []byte) {
	r, err := tongma.ParseRequest(body)
	if err != nil {
		fakeProblem(w, tongma.ReasonOf(err))
		return
	}
	if strings.HasPrefix(r.Code, "77") {
		io.WriteString(w, `{"candidates":[],"directory":1,"reason":"TM-1005","reason_name":"code-wrong-side"}`)
		return
	}
	io.WriteString(w, `{"candidates":[{"scheme":"north","participant":"acq-north","rule":"mpm.tongma.1","path":"26"}],"directory":1}`)
}

func fakeProblem(w http.ResponseWriter, reason tongma.Reason) {
	p := tongma.ProblemOf(&tongma.Error{Op: "http", Reason: reason})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.AppendJSON(nil))
}

// typed runs one command line in this process.
func inProcess(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// leaves returns the commands that do something themselves.
func leaves(cmd *cobra.Command) (list []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.HasSubCommands() {
			list = append(list, leaves(c)...)
		} else if c.Runnable() && c.Name() != "help" && !strings.HasPrefix(c.Name(), "__") {
			list = append(list, c)
		}
	}
	return list
}

func TestEveryCommandHasAnExampleAndJSON(t *testing.T) {
	root := newRoot(newApp(strings.NewReader(""), io.Discard, io.Discard))
	all := leaves(root)
	if len(all) < 20 {
		t.Fatalf("%d commands", len(all))
	}
	for _, cmd := range all {
		path := cmd.CommandPath()
		if !strings.Contains(cmd.Example, path) {
			t.Errorf("%s: its examples do not show it", path)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: want a short description without a full stop", path)
		}
		if cmd.InheritedFlags().Lookup("json") == nil {
			t.Errorf("%s: has no --json", path)
		}
	}
}

func TestExamplesOfHelpAreAccepted(t *testing.T) {
	for _, cmd := range leaves(newRoot(newApp(strings.NewReader(""), io.Discard, io.Discard))) {
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			if !strings.Contains(line, cmd.CommandPath()+" ") { // the step before, which is another command's
				continue
			}
			for _, name := range exampleFlags(line) {
				if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: an example has --%s, which is no flag", cmd.CommandPath(), name)
				}
			}
		}
	}
}

// exampleFlags returns the flags that an example gives to tongma.
func exampleFlags(line string) (names []string) {
	line, _, _ = strings.Cut(line, "|")
	for _, w := range strings.Fields(line) {
		if name, ok := strings.CutPrefix(w, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			names = append(names, strings.Trim(name, `"')`))
		}
	}
	return names
}

func TestHelpShowsExamplesFirst(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"code", "--help"}, {"code", "parse", "--help"}, {"pay", "send", "-h"}} {
		code, out, err := inProcess(t, args...)
		examples, usage := strings.Index(out, "Examples:"), strings.Index(out, "Usage:")
		if code != exitDone || err != "" || examples < 0 || usage < examples {
			t.Errorf("tongma %s: exit code %d, stderr %q, examples at %d, usage at %d", strings.Join(args, " "), code, err, examples, usage)
		}
	}
}

func TestEveryReasonHasAnExitCode(t *testing.T) {
	for _, i := range tongma.Reasons() {
		code := exitOfReason(i.Reason)
		if code == exitDone || !slices.ContainsFunc(exitKinds, func(k exitKind) bool { return k.code == code }) {
			t.Errorf("%s: exit code %d", i.Reason.Code(), code)
		}
		if i.Money == tongma.MayHaveMoved && code != exitInconclusive && code != exitUnreachable && code != exitFault {
			t.Errorf("%s: the money may have moved, and exit code %d does not say so", i.Reason.Code(), code)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {context.Canceled, 130}, {fmt.Errorf("x: %w", context.DeadlineExceeded), 4}, {os.ErrNotExist, 6},
		{&tongma.Error{Reason: tongma.OverCap}, 7}, {&tongma.Error{Reason: tongma.SheetMismatch}, 10}, {&tongma.Error{Reason: tongma.NotAuthenticated}, 5},
		{&tongma.Error{Reason: tongma.ParticipantUnknown}, 6}, {&tongma.Error{Reason: tongma.ParticipantSuspended}, 5},
		{&exitError{code: 3, err: &tongma.Error{Reason: tongma.OverCap}}, 3},
	} {
		if got := exitCodeOf(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestErrorsDocumentIsTheCatalogue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != catalogueMarkdown() {
		t.Error("docs/errors.md is not what the catalogue says: go run ./cmd/tongma errors --markdown > docs/errors.md")
	}
}

func TestCleanLeavesNothingThatMovesACursor(t *testing.T) {
	for in, want := range map[string]string{"CAFÉ 街角": "CAFÉ 街角", "a\x1b[2Jb\r\n": "a·[2Jb··", "\xff\u202e": "··", "": ""} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNearestSuggestsOnlyWhatIsNear(t *testing.T) {
	names := []string{"http_listen", "nats_listen", "data"}
	for in, want := range map[string]string{"http_lisen": "http_listen", "dta": "data", "zzz": "", "": ""} {
		if got := nearest(in, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTokenNeverLeavesInTheClear(t *testing.T) {
	for address, want := range map[string]int{
		"http://127.0.0.1:8480": 0, "http://[::1]:8480": 0, "http://localhost:1": 0, "https://switch.example": 0,
		"http://10.0.0.1:8480": exitNotAllowed, "http://localhost.evil.example": exitNotAllowed,
		"ftp://x": exitUsage, "127.0.0.1:8480": exitUsage, "http://u:p@127.0.0.1": exitUsage, "": exitUsage,
	} {
		if _, err := baseURL(address, false); exitCodeOf(err) != want {
			t.Errorf("%s: exit code %d, want %d", address, exitCodeOf(err), want)
		}
	}
}

func TestLinesReportsWhatIsTooLongAndGoesOn(t *testing.T) {
	const good = "77000123456789012368"
	for _, c := range []struct {
		name, in string
		want     []string // reason of each report, "" for a valid one
	}{
		{"nothing", "", nil},
		{"no end", good, []string{""}},
		{"cr and lf", good + "\r\n" + good + "\n", []string{"", ""}},
		{"as long as a code may be", strings.Repeat("1", 8192) + "\n" + good, []string{"no-rule", ""}},
		{"one more", strings.Repeat("1", 8193) + "\n" + good, []string{"too-long", ""}},
		{"much more", strings.Repeat("1", 1<<20) + "\n" + good + "\n", []string{"too-long", ""}},
		{"much more and no end", strings.Repeat("1", 1<<20), []string{"too-long"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, talk bytes.Buffer
			code := run(t.Context(), []string{"code", "parse", "--lines", "--json"}, strings.NewReader(c.in), &out, &talk)
			if code != exitDone || talk.Len() > 0 {
				t.Fatalf("exit code %d, stderr %q", code, talk.String())
			}
			var got []string
			for line := range strings.Lines(out.String()) {
				var r struct {
					Error *struct{ Reason string }
				}
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				reason := ""
				if r.Error != nil {
					reason = r.Error.Reason
				}
				got = append(got, reason)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("reports %q, want %q", got, c.want)
			}
		})
	}
}

func TestInterruptedWaitSaysSo(t *testing.T) {
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer hang.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("tm_x"), 0o600); err != nil {
		t.Fatal(err)
	}
	send := []string{"pay", "send", "--url", hang.URL, "--token-file", token, "--as", "acq-north", "--code", "77", "--amount", "1", "--currency", "CNY", "--json"}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	var out, talk bytes.Buffer
	if code := run(ctx, send, nil, &out, &talk); code != exitInterrupted || !strings.Contains(talk.String(), `"outcome":"unknown"`) {
		t.Errorf("interrupted: exit code %d, %s", code, talk.String())
	}
	code, _, err := inProcess(t, append(send, "--timeout", "50ms")...)
	if code != exitUnreachable || !strings.Contains(err, `"outcome":"unknown"`) || !strings.Contains(err, "--key cli-") {
		t.Errorf("timed out: exit code %d, %s", code, err)
	}
}
