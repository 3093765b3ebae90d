package codespec

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/paycode"
)

// holds checks what must be true of whatever Decode says about any input.
func holds(t *testing.T, raw string) {
	t.Helper()
	c, err := Decode(raw)
	if err != nil {
		var d *DecodeError
		if !errors.As(err, &d) || !contains(Reasons(), d.Reason) {
			t.Fatalf("error without a listed reason: %v", err)
		}
		if longestDigits(err.Error()) > 4 {
			t.Fatalf("error text may hold a part of the code: %v", err)
		}
	} else {
		text, err := Encode(c)
		if err != nil || text != c.Raw {
			t.Fatalf("%s: written back as %q, want %q: %v", c.Format, text, c.Raw, err)
		}
		if !strings.HasPrefix(raw, c.Raw) || strings.Trim(raw[len(c.Raw):], "\r\n") != "" {
			t.Fatalf("Raw is %q, scanned was %q", c.Raw, raw)
		}
		if again, err := Decode(text); err != nil || again.Format != c.Format {
			t.Fatalf("second reading: %s, %v", again.Format, err)
		}
	}
	if _, _, err := c.Amount(); err != nil && longestDigits(err.Error()) > 4 {
		t.Fatalf("amount error: %v", err)
	}
	if n := len([]rune(c.Masked())); n > 5 {
		t.Fatalf("mask shows %d characters", n)
	}
	if _, err := json.Marshal(Report(raw, false)); err != nil {
		t.Fatal(err)
	}
}

func longestDigits(s string) int {
	best, run := 0, 0
	for i := 0; i < len(s); i++ {
		if s[i]-'0' <= 9 {
			run++
			best = max(best, run)
		} else {
			run = 0
		}
	}
	return best
}

// repairCRC gives text the CRC it should have, so that the fuzzer gets past it.
func repairCRC(text string) string {
	if n := len(text) - 8; n >= 0 && text[n:n+4] == "6304" {
		text = text[:n]
	}
	return fmt.Sprintf("%s6304%04X", text, emv.CRC(text+"6304"))
}

func FuzzMPM(f *testing.F) {
	for _, v := range readVectors(f, "mpm.jsonl") {
		f.Add(v.Payload)
	}
	f.Fuzz(func(t *testing.T, text string) {
		holds(t, text)
		fixed := repairCRC(text)
		holds(t, fixed)
		if m, err := emv.ParseMPM(fixed); err == nil {
			if back, err := m.Encode(); err != nil || back != fixed {
				t.Fatalf("written back as %q: %v", back, err)
			}
		}
	})
}

func FuzzCPM(f *testing.F) {
	for _, v := range readVectors(f, "cpm.jsonl") {
		if data, err := base64.StdEncoding.DecodeString(v.Payload); err == nil {
			f.Add(data, v.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		holds(t, base64.StdEncoding.EncodeToString(data))
		holds(t, "hQVDUFYwMW"+text)
		if c, err := emv.ParseCPM(text); err == nil && c.Encode() != text {
			t.Fatalf("written back as %q", c.Encode())
		}
	})
}

func FuzzPayCodeAndLink(f *testing.F) {
	for _, v := range readVectors(f, "wallet_codes.jsonl") {
		f.Add(v.Code)
	}
	for _, h := range hostileURLs {
		f.Add(h.url)
	}
	f.Add("77000123456789012368")
	f.Fuzz(func(t *testing.T, text string) {
		holds(t, text)
		if p, err := paycode.ParseUnified(text); err == nil {
			again, err := paycode.MakeUnified(p.Issuer, p.Token)
			if err != nil || again != p {
				t.Fatalf("made again: %v", err)
			}
		}
		c, err := Decode(text)
		if err == nil && c.Format == FormatURL && c.Link.URL.Scheme == "https" && !strings.HasPrefix(strings.ToLower(text), "https://"+c.Link.URL.Host) {
			t.Fatalf("host %q is not where a browser would look for it", c.Link.URL.Host)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("\x80\x01\x49$")
	f.Add("SHSTMETRO\x00\x8e")
	f.Add("SPC\r\n0200\r\n1\r\n")
	f.Add("|099999999999990\r1\r2\r100")
	f.Add("https://id.gs1.org/01/09506000134352/10/ABC")
	for _, name := range []string{"mpm.jsonl", "cpm.jsonl", "wallet_codes.jsonl"} {
		for _, v := range readVectors(f, name) {
			f.Add(v.Payload + v.Code)
		}
	}
	f.Fuzz(holds)
}

func FuzzRules(f *testing.F) {
	f.Add([]byte(`{"version":"1","numeric":[{"id":"a","scheme":"b","prefixes":["10"],"min":18,"max":18}]}`))
	f.Add([]byte(`{"version":"1","mpm":[{"id":"a","scheme":"b","ids":"26-51","form":"n28"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRules(data)
		if err != nil {
			return
		}
		for _, raw := range []string{"134621141753364349", "00020101021126350011mm.com.mmqr010140211terminal0025204541163047781", "https://qr.alipay.com/fkx0000"} {
			_, _ = r.Decode(raw)
		}
	})
}
