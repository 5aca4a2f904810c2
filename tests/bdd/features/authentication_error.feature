@QUA-1 @CON-5 @CON-7
Feature: A login that is not finished
  The gateway's window waits for the password, the second factor or the disclaimer. The process never works around that.

  Scenario: The process says so, does not hammer the gateway, and waits for the operator
    Given a gateway whose login is not finished
    When the process connects
    And 600 seconds pass
    Then connecting fails with GatewayAuthenticationError, IB_CONN_005
    And the error is not worth trying again
    And the connection is FAILED
    And exactly 1 attempt was logged
    And connection_failure names host, port, client_id, error_type, error_message
    And the gateway received 0 orders

  Scenario: The operator finishes the login and connects again
    Given a gateway whose login is not finished
    When the process connects
    And the operator finishes the login
    And the process connects again
    Then the connection is CONNECTED
