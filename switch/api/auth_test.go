package api

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

func TestTokensAreMadeOnceAndKeptSecret(t *testing.T) {
	dir := t.TempDir()
	names := []tongma.ParticipantID{"acq", "wallet"}
	tokens, err := NewTokens(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	text := map[tongma.ParticipantID]string{}
	for _, who := range append(names, "operator") {
		info, err := os.Stat(TokenPath(dir, who))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v %v", err, info)
		}
		data, _ := os.ReadFile(TokenPath(dir, who))
		text[who] = strings.TrimSpace(string(data))
	}
	again, err := NewTokens(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, tk := range []*Tokens{tokens, again} {
		if who, ok := tk.Identify(text["acq"]); who != (Caller{Participant: "acq"}) || !ok {
			t.Fatalf("%v %v", who, ok)
		}
		if who, ok := tk.Identify(text["operator"]); who != (Caller{Operator: "operator"}) || !ok || tk.Operators() != 1 {
			t.Fatalf("%v %v", who, ok)
		}
		for _, wrong := range []string{"", text["acq"][1:], text["acq"] + "x", strings.ToUpper(text["acq"]), strings.Repeat("x", 1<<20)} {
			if who, ok := tk.Identify(wrong); who != (Caller{}) || ok {
				t.Fatalf("a wrong token is %v %v", who, ok)
			}
		}
	}
	left, _ := os.ReadDir(dir + "/creds")
	if len(left) != 3 {
		t.Fatalf("%d files", len(left))
	}
}

// TestOperatorsHaveNames: each person has a token of its own, and no participant
// can pass for one.
func TestOperatorsHaveNames(t *testing.T) {
	dir := t.TempDir()
	path, err := AddOperator(dir, "ann")
	if err != nil || path != OperatorTokenPath(dir, "ann") {
		t.Fatal(path, err)
	}
	first, _ := os.ReadFile(path)
	if _, err := AddOperator(dir, "ann"); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); string(again) != string(first) || len(again) < minToken {
		t.Fatal("the token was made anew")
	}
	for _, name := range []string{"", "operator", "Ann", "../ann", "a.b", strings.Repeat("a", 40)} {
		if _, err := AddOperator(dir, name); tongma.ReasonOf(err) != tongma.FieldInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	tokens, err := NewTokens(dir, []tongma.ParticipantID{"ann"})
	if err != nil || tokens.Operators() != 1 { // ann may hold the one that names nobody
		t.Fatal(err)
	}
	if _, err := AddOperator(dir, "ben"); err != nil {
		t.Fatal(err)
	}
	if two, err := NewTokens(dir, nil); err != nil || two.Operators() != 2 {
		t.Fatal(err)
	}
	if who, ok := tokens.Identify(strings.TrimSpace(string(first))); who != (Caller{Operator: "ann"}) || !ok {
		t.Fatalf("%+v %v", who, ok)
	}
	own, _ := os.ReadFile(TokenPath(dir, "ann"))
	if who, ok := tokens.Identify(strings.TrimSpace(string(own))); who != (Caller{Participant: "ann"}) || !ok {
		t.Fatalf("%+v %v", who, ok)
	}
	if err := os.WriteFile(OperatorTokenPath(dir, "Bob"), first, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewTokens(dir, nil); err == nil {
		t.Error("a name that AddOperator refuses is accepted")
	}
}

func TestTokensThatCannotBeTrustedAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"readable by others": func(dir string) error { return os.Chmod(TokenPath(dir, "acq"), 0o640) },
		"empty":              func(dir string) error { return os.WriteFile(TokenPath(dir, "acq"), nil, 0o600) },
		"endless":            func(dir string) error { return os.WriteFile(TokenPath(dir, "acq"), make([]byte, 4096), 0o600) },
		"shared with the operator": func(dir string) error {
			data, _ := os.ReadFile(TokenPath(dir, "operator"))
			return os.WriteFile(TokenPath(dir, "acq"), data, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := NewTokens(dir, []tongma.ParticipantID{"acq"}); err != nil {
				t.Fatal(err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := NewTokens(dir, []tongma.ParticipantID{"acq"}); err == nil {
				t.Fatal("accepted")
			}
		})
	}
	for _, name := range []tongma.ParticipantID{"operator", "../x", ""} {
		if _, err := NewTokens(t.TempDir(), []tongma.ParticipantID{name}); err == nil {
			t.Errorf("a participant called %q was accepted", name)
		}
	}
}

func TestOnlyALocalVisitorOfASandboxGetsASession(t *testing.T) {
	loop, far := "127.0.0.1:8080", "192.0.2.7:8080"
	for name, c := range map[string]struct {
		here, remote, host, header string
		want                       bool
	}{
		"loopback":              {loop, "127.0.0.1:50000", "127.0.0.1:8080", "", true},
		"by name":               {loop, "127.0.0.1:50000", "localhost:8080", "", true},
		"six":                   {"[::1]:8080", "[::1]:50000", "[::1]:8080", "", true},
		"from outside":          {far, "192.0.2.9:50000", "localhost:8080", "", false},
		"to an outside address": {far, "127.0.0.1:50000", "localhost:8080", "", false},
		"rebound name":          {loop, "127.0.0.1:50000", "evil.example:8080", "", false},
		"name that looks local": {loop, "127.0.0.1:50000", "127.0.0.1.evil.example", "", false},
		"through a proxy":       {loop, "127.0.0.1:50000", "localhost:8080", "X-Forwarded-For", false},
		"through another":       {loop, "127.0.0.1:50000", "localhost:8080", "Via", false},
	} {
		t.Run(name, func(t *testing.T) {
			here, _ := net.ResolveTCPAddr("tcp", c.here)
			visit := func(cookies []*http.Cookie) *http.Request {
				r := httptest.NewRequest("GET", "/", nil)
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, here))
				r.RemoteAddr, r.Host = c.remote, c.host
				if c.header != "" {
					r.Header.Set(c.header, "x")
				}
				for _, cookie := range cookies {
					r.AddCookie(cookie)
				}
				return r
			}
			s := newSession()
			w := httptest.NewRecorder()
			if s.give(w, visit(nil)) != c.want || (len(w.Result().Cookies()) == 1) != c.want {
				t.Fatalf("given: %t", !c.want)
			}
			own := []*http.Cookie{{Name: cookieName(visit(nil)), Value: s.value}}
			if s.holds(visit(own)) != c.want {
				t.Fatalf("a cookie counts: %t", !c.want)
			}
			if s.holds(visit(nil)) || s.holds(visit([]*http.Cookie{{Name: own[0].Name, Value: newSession().value}})) {
				t.Fatal("no cookie, or another's, counts")
			}
		})
	}
	if (*session)(nil).give(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) {
		t.Fatal("given outside of a sandbox")
	}
}
