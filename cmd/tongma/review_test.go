package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOutOfOfficeSaysNothingOfTheMoney: a till whose payment the lost writer has taken
// repeats it here, before this switch is in office. It must not hear that nothing was
// executed: that is not known here.
func TestOutOfOfficeSaysNothingOfTheMoney(t *testing.T) {
	w := httptest.NewRecorder()
	(&node{}).waiting().ServeHTTP(w, httptest.NewRequest("POST", "/v1/payments", nil))
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, `"outcome":"unknown"`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, body)
	}
}
