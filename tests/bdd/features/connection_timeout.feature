@QUA-1 @CON-3 @CON-5 @CON-7 @GW-12
Feature: A connection that times out
  The gateway's socket is open, but its API says nothing: a program that hangs, or a dialog that waits for an answer.

  Scenario: Connecting ends at its limit, and the process goes on trying
    Given a gateway that says nothing
    When the process connects within 30 seconds
    Then connecting fails with GatewayTimeoutError, IB_CONN_003
    And the error is worth trying again
    And that took 30 seconds
    And the connection is not CONNECTED
    And the gateway received 0 orders

  Scenario: The process connects by itself once the gateway speaks
    Given a gateway that says nothing
    When the process connects within 30 seconds
    And the gateway speaks again
    And 60 seconds pass
    Then the connection is CONNECTED
    And at least 2 attempts were logged

  Scenario: Reads end at their own deadline while there is no connection
    Given a gateway that says nothing
    When the process connects within 30 seconds
    And the trader asks for a quote of SPY within 2 seconds
    Then the quote fails with GatewayConnectionError, IB_CONN_001
